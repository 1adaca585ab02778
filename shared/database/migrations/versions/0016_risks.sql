-- How often each node fails what it is asked to ship: what it did lately, and the rates that planners expect of it.
CREATE TABLE node_risk (
    node_id       text PRIMARY KEY REFERENCES node,
    asked         bigint NOT NULL CHECK (asked >= 0),
    rejected      bigint NOT NULL CHECK (rejected BETWEEN 0 AND asked),
    shipped       bigint NOT NULL CHECK (shipped BETWEEN 0 AND asked),
    late          bigint NOT NULL CHECK (late BETWEEN 0 AND shipped),
    rejection_ppm int NOT NULL CHECK (rejection_ppm BETWEEN 0 AND 1000000),
    lateness_ppm  int NOT NULL CHECK (lateness_ppm BETWEEN 0 AND 1000000),
    assessed_at   timestamptz NOT NULL
);
CREATE TRIGGER risk_changed AFTER INSERT OR UPDATE OR DELETE ON node_risk
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();
