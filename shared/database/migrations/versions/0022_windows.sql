-- Supply enters and leaves what channels count as the days go by. Whoever reads changes notes what has crossed since this
-- moment, which moves on only when something has.
CREATE TABLE supply_window (
    one_row     boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    noted_until timestamptz NOT NULL DEFAULT now()
);
INSERT INTO supply_window DEFAULT VALUES;
CREATE INDEX inbound_expected ON inbound (expected_at) WHERE closed_at IS NULL;
