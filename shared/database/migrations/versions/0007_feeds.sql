-- What sources say of their stock: feeds, their runs, their rows, and how fresh they are.
-- applying: the run that changes stock now; a source has one at a time.
CREATE TABLE feed_source (
    source_id  text PRIMARY KEY,
    definition jsonb NOT NULL,
    defined_at timestamptz NOT NULL DEFAULT now(),
    defined_by text NOT NULL,
    applying   text,
    last_run   text,
    as_of      timestamptz,
    control_no text
);

-- A node's stock has one source. as_of: the moment of the figures its positions were last brought to.
CREATE TABLE stock_source (
    node_id     text PRIMARY KEY REFERENCES node,
    source_id   text NOT NULL REFERENCES feed_source,
    as_of       timestamptz,
    received_at timestamptz,
    state       text NOT NULL DEFAULT 'unknown' CHECK (state IN ('unknown', 'fresh', 'stale', 'hidden'))
);
CREATE INDEX stock_source_source ON stock_source (source_id);

-- staged: positions that differ from what the file says, in key order; done: how many of them were looked at.
-- node_ids: the nodes the file speaks of.
-- defined_at, offers, horizon: of which definition of the source and which offers its rows were resolved, and the oldest
-- transaction that was not seen then; the source's next file is compared with this one while they hold.
-- floored: positions that could not go below what is claimed of them. zeroed: items missing in a whole snapshot.
CREATE TABLE feed_run (
    run_id       text PRIMARY KEY,
    source_id    text NOT NULL REFERENCES feed_source,
    file_name    text NOT NULL,
    content_hash text NOT NULL,
    bytes        bigint NOT NULL,
    actor        text NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    status       text NOT NULL DEFAULT 'received' CHECK (status IN ('received', 'staged', 'applied', 'refused')),
    code         text NOT NULL DEFAULT '',
    message      text NOT NULL DEFAULT '',
    as_of        timestamptz,
    control_no   text,
    rows         int NOT NULL DEFAULT 0,
    refused      int NOT NULL DEFAULT 0,
    node_ids     text[] NOT NULL DEFAULT '{}',
    defined_at   timestamptz,
    offers       bigint,
    horizon      xid8,
    staged       int NOT NULL DEFAULT 0,
    done         int NOT NULL DEFAULT 0,
    changed      int NOT NULL DEFAULT 0,
    zeroed       int NOT NULL DEFAULT 0,
    floored      int NOT NULL DEFAULT 0
);
CREATE INDEX feed_run_source ON feed_run (source_id, received_at);
CREATE INDEX feed_run_content ON feed_run (source_id, content_hash);

CREATE TABLE feed_refusal (
    run_id  text NOT NULL REFERENCES feed_run,
    row     int NOT NULL,
    field   text NOT NULL,
    code    text NOT NULL,
    message text NOT NULL,
    line    text NOT NULL DEFAULT ''
);
CREATE INDEX feed_refusal_run ON feed_refusal (run_id, row);

-- The file while its run lasts, so that any worker can go on with it, and until the next one that it is compared with.
-- Compressing it again would cost more than it saves.
CREATE TABLE feed_chunk (
    run_id  text NOT NULL,
    n       int NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (run_id, n)
);
ALTER TABLE feed_chunk ALTER COLUMN content SET STORAGE EXTERNAL;

-- How a file in a partner's directory looked when it was last seen: one that has not changed since is whole.
CREATE TABLE feed_sighting (
    source_id text NOT NULL REFERENCES feed_source,
    name      text NOT NULL,
    bytes     bigint NOT NULL,
    modified  timestamptz NOT NULL,
    seen_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source_id, name)
);

CREATE INDEX source_offer_partner_sku ON source_offer (node_id, partner_sku);
-- What was booked since a source took its figures. Reservations, which are most of all moves, pay nothing for it.
CREATE INDEX stock_move_booked ON stock_move (at) WHERE on_hand <> 0 AND cause <> 'feed';
CREATE INDEX stock_move_booked_tx ON stock_move (tx) WHERE on_hand <> 0 AND cause <> 'feed';

-- Item numbers are resolved by offers; what was resolved by others is resolved again.
CREATE TABLE offer_version (one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row), version bigint NOT NULL DEFAULT 1);
INSERT INTO offer_version DEFAULT VALUES;
CREATE FUNCTION bump_offer_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE offer_version SET version = version + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER offer_bumps AFTER INSERT OR UPDATE OR DELETE ON source_offer
    FOR EACH STATEMENT EXECUTE FUNCTION bump_offer_version();
