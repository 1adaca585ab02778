-- A table of stock that was loaded. The same content is loaded once, also when positions have moved on since.
CREATE TABLE stock_load (
    reference text PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now(),
    actor     text NOT NULL,
    rows      int NOT NULL,
    added     int NOT NULL,
    changed   int NOT NULL
);

-- A channel that is not here sells from every node that ships, all that is there.
CREATE TABLE channel (
    channel    text PRIMARY KEY,
    rank       int NOT NULL DEFAULT 100,
    every_node boolean NOT NULL DEFAULT true
);

-- A node the channel sells from although not every node is eligible, or does not although every node is.
CREATE TABLE channel_node (
    channel text NOT NULL REFERENCES channel,
    node_id text NOT NULL REFERENCES node,
    sells   boolean NOT NULL DEFAULT true,
    PRIMARY KEY (channel, node_id)
);

-- Without a SKU, what holds for every SKU of the channel that has no row of its own.
CREATE TABLE channel_allocation (
    channel      text NOT NULL REFERENCES channel,
    sku          text REFERENCES item,
    pool         bigint CHECK (pool >= 0),
    fall_through boolean NOT NULL DEFAULT true,
    percent      int NOT NULL DEFAULT 100 CHECK (percent BETWEEN 0 AND 100),
    buffer       bigint NOT NULL DEFAULT 0 CHECK (buffer >= 0),
    floor        bigint NOT NULL DEFAULT 0 CHECK (floor >= 0),
    cap          bigint CHECK (cap >= 0),
    CONSTRAINT one_allocation UNIQUE NULLS NOT DISTINCT (channel, sku)
);
CREATE INDEX channel_allocation_sku ON channel_allocation (sku);

-- Ids of moves are drawn before their transactions commit, in another order: a reader that remembered the last id
-- would miss what commits late. It remembers a transaction instead, below which none is open any more.
ALTER TABLE stock_move ADD COLUMN tx xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX stock_move_tx ON stock_move (tx);

-- Availability that changed without a move. Without a SKU, that of every item may have.
CREATE TABLE availability_change (
    tx  xid8 NOT NULL DEFAULT pg_current_xact_id(),
    sku text
);
CREATE INDEX availability_change_tx ON availability_change (tx);

CREATE FUNCTION note_all_availability() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO availability_change (sku) VALUES (NULL);
    RETURN NULL;
END $$;
CREATE FUNCTION note_availability() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO availability_change (sku) VALUES (CASE TG_OP WHEN 'DELETE' THEN OLD.sku ELSE NEW.sku END);
    RETURN NULL;
END $$;
CREATE TRIGGER channel_changed AFTER INSERT OR UPDATE OR DELETE ON channel
    FOR EACH STATEMENT EXECUTE FUNCTION note_all_availability();
CREATE TRIGGER channel_node_changed AFTER INSERT OR UPDATE OR DELETE ON channel_node
    FOR EACH STATEMENT EXECUTE FUNCTION note_all_availability();
CREATE TRIGGER shipping_changed AFTER UPDATE OF ship_enabled ON node
    FOR EACH ROW WHEN (OLD.ship_enabled <> NEW.ship_enabled) EXECUTE FUNCTION note_all_availability();
CREATE TRIGGER allocation_changed AFTER INSERT OR UPDATE OR DELETE ON channel_allocation
    FOR EACH ROW EXECUTE FUNCTION note_availability();
CREATE TRIGGER safety_changed AFTER UPDATE OF safety ON stock_position
    FOR EACH ROW WHEN (OLD.safety <> NEW.safety) EXECUTE FUNCTION note_availability();
