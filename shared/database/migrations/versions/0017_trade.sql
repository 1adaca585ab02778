-- What may go where: what carriers and customs ask of items, lanes that are closed, duties. Empty text stands for all.
CREATE TABLE item_trade (
    sku              text PRIMARY KEY REFERENCES item,
    hazmat           boolean NOT NULL DEFAULT false,
    origin_country   text NOT NULL DEFAULT '' CHECK (origin_country ~ '^([A-Z]{2})?$'),
    hs_code          text NOT NULL DEFAULT '' CHECK (hs_code ~ '^([0-9]{6,10})?$'),
    banned_countries jsonb NOT NULL DEFAULT '[]'
);
CREATE TABLE lane_rule (
    node_id   text NOT NULL DEFAULT '',
    country   text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    region    text NOT NULL DEFAULT '',
    carrier   text NOT NULL DEFAULT '',
    service   text NOT NULL DEFAULT '',
    closed_to text NOT NULL CHECK (closed_to IN ('nothing', 'hazmat', 'everything')),
    PRIMARY KEY (node_id, country, region, carrier, service)
);
CREATE TABLE customs_rule (
    country   text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    hs_prefix text NOT NULL DEFAULT '' CHECK (hs_prefix ~ '^[0-9]{0,10}$'),
    duty_bp   int NOT NULL CHECK (duty_bp BETWEEN 0 AND 100000),
    PRIMARY KEY (country, hs_prefix)
);

-- Planners remember all of it but the items, and of those whether there are any.
CREATE TRIGGER item_trade_bumps AFTER INSERT OR UPDATE OR DELETE ON item_trade
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();
CREATE TRIGGER lane_rule_bumps AFTER INSERT OR UPDATE OR DELETE ON lane_rule
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();
CREATE TRIGGER customs_rule_bumps AFTER INSERT OR UPDATE OR DELETE ON customs_rule
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();
