-- What is expected is read off the orders of the last weeks. They are written in the order they came.
CREATE INDEX orders_received ON orders USING brin (received_at);

-- Shadow prices of stock and capacity: what later orders are expected to lose by one unit less.
-- run_id: the run that worked them out; repeated, it finds what it kept. From expires_at on planners ignore them.
CREATE TABLE price_version (
    version        text PRIMARY KEY,
    run_id         text NOT NULL UNIQUE,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    horizon_days   int NOT NULL CHECK (horizon_days > 0),
    policy_version text NOT NULL REFERENCES policy_version,
    inputs_hash    text NOT NULL,
    orders         double precision NOT NULL,
    kinds          int NOT NULL,
    merged         double precision NOT NULL,
    cost_minor     bigint NOT NULL,
    doubted        text[] NOT NULL,
    CONSTRAINT lasts CHECK (created_at < expires_at)
);
CREATE INDEX price_version_latest ON price_version (created_at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON price_version
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Thousandths of a minor unit; what is not here has no price. Rows of versions long expired are dropped.
CREATE TABLE stock_price (
    version    text NOT NULL REFERENCES price_version,
    node_id    text NOT NULL,
    sku        text NOT NULL,
    unit_milli bigint NOT NULL CHECK (unit_milli > 0),
    PRIMARY KEY (version, node_id, sku)
);
CREATE TRIGGER never_changes BEFORE UPDATE ON stock_price FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Of a unit that the node ships on this day of its own calendar.
CREATE TABLE shipping_price (
    version    text NOT NULL REFERENCES price_version,
    node_id    text NOT NULL,
    day        date NOT NULL,
    unit_milli bigint NOT NULL CHECK (unit_milli > 0),
    PRIMARY KEY (version, node_id, day)
);
CREATE TRIGGER never_changes BEFORE UPDATE ON shipping_price FOR EACH ROW EXECUTE FUNCTION refuse_change();
