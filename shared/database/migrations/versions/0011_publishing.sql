-- A channel with a partner is told what it may sell; one without asks for it.
ALTER TABLE partner DROP CONSTRAINT partner_kind_check,
    ADD CONSTRAINT partner_kind_check CHECK (kind IN ('payment', 'carrier', 'fulfillment', 'channel'));
ALTER TABLE channel ADD COLUMN partner_id text REFERENCES partner;

-- How far a channel has been told. all_after: it is being told everything, and has been up to this SKU.
CREATE TABLE channel_feed (
    channel   text PRIMARY KEY REFERENCES channel,
    version   bigint NOT NULL DEFAULT 0,
    sequence  bigint NOT NULL DEFAULT 0,
    all_after text DEFAULT '',
    looked_at timestamptz
);

-- What a channel is about to be told, written before the first byte leaves, so that a repeat says the same.
-- changed_at: when the oldest change in it was made.
CREATE TABLE channel_push (
    channel     text NOT NULL REFERENCES channel,
    sequence    bigint NOT NULL,
    items       jsonb NOT NULL,
    as_of       timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL,
    intended_at timestamptz NOT NULL DEFAULT now(),
    answered_at timestamptz,
    fault       text NOT NULL DEFAULT '',
    PRIMARY KEY (channel, sequence)
);
CREATE UNIQUE INDEX one_push_at_a_time ON channel_push (channel) WHERE answered_at IS NULL;

-- What a channel has confirmed to know.
CREATE TABLE channel_published (
    channel   text NOT NULL REFERENCES channel,
    sku       text NOT NULL,
    available bigint NOT NULL CHECK (available >= 0),
    coming    jsonb NOT NULL DEFAULT '[]',
    sequence  bigint NOT NULL,
    PRIMARY KEY (channel, sku)
) WITH (fillfactor = 70);
