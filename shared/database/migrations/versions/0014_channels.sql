-- Planners remember which nodes channels sell from, and whether anything is kept for one of them.
CREATE TRIGGER channel_bumps AFTER INSERT OR UPDATE OR DELETE ON channel
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();
CREATE TRIGGER channel_node_bumps AFTER INSERT OR UPDATE OR DELETE ON channel_node
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();
CREATE TRIGGER allocation_bumps AFTER INSERT OR UPDATE OR DELETE ON channel_allocation
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();

-- What a channel counts as in stock, in versions; of those in effect the one with the latest effective_at counts, and
-- of several of one moment the latest version. A channel without any counts suppliers' stock and nothing to come.
CREATE TABLE in_stock_policy (
    channel         text NOT NULL REFERENCES channel,
    version         int NOT NULL,
    effective_at    timestamptz NOT NULL,
    counts_supplier boolean NOT NULL,
    future_days     int NOT NULL CHECK (future_days BETWEEN 0 AND 365),
    threshold       bigint NOT NULL CHECK (threshold >= 0),
    actor           text NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (channel, version)
);
CREATE INDEX in_stock_policy_effective ON in_stock_policy (channel, effective_at DESC, version DESC);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON in_stock_policy
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Moments at which a version takes effect: whoever reads changes from then on notes it and takes the row away.
CREATE TABLE in_stock_due (
    effective_at timestamptz NOT NULL
);
CREATE FUNCTION note_in_stock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO availability_change (sku) VALUES (NULL);
    IF NEW.effective_at > now() THEN
        INSERT INTO in_stock_due VALUES (NEW.effective_at);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER in_stock_changed AFTER INSERT ON in_stock_policy FOR EACH ROW EXECUTE FUNCTION note_in_stock();

-- What is to come of an item is part of the answer where some channel counts it.
CREATE FUNCTION note_coming() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM in_stock_policy WHERE future_days > 0) THEN
        IF TG_TABLE_NAME = 'inbound_line' THEN
            INSERT INTO availability_change (sku) VALUES (NEW.sku);
        ELSE
            INSERT INTO availability_change (sku) SELECT sku FROM inbound_line WHERE inbound_id = NEW.inbound_id;
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER coming_told AFTER INSERT ON inbound_line FOR EACH ROW EXECUTE FUNCTION note_coming();
CREATE TRIGGER coming_changed AFTER UPDATE OF open, bound ON inbound_line
    FOR EACH ROW WHEN (OLD.open - OLD.bound <> NEW.open - NEW.bound) EXECUTE FUNCTION note_coming();
CREATE TRIGGER coming_dated AFTER UPDATE OF expected_at, status ON inbound
    FOR EACH ROW WHEN (OLD.expected_at <> NEW.expected_at OR OLD.status <> NEW.status) EXECUTE FUNCTION note_coming();
