-- Waves that were planned, and what became of each of their groups.

-- seconds: what planning took. Amounts are minor units, as each order's policy weighs costs.
CREATE TABLE wave (
    wave_id      text PRIMARY KEY,
    channel      text NOT NULL,
    started_at   timestamptz NOT NULL,
    seconds      double precision NOT NULL,
    orders       int NOT NULL,
    frozen       int NOT NULL,
    before_minor bigint NOT NULL,
    after_minor  bigint NOT NULL,
    bound_minor  bigint NOT NULL,
    short_before int NOT NULL,
    short_after  int NOT NULL
);
CREATE INDEX wave_latest ON wave (started_at);

-- parcels: those that its orders share then.
-- outcome: NULL until it was carried out or refused; then it never changes.
CREATE TABLE wave_group (
    wave_id     text NOT NULL REFERENCES wave,
    number      int NOT NULL,
    orders      int NOT NULL CHECK (orders > 0),
    saved_minor bigint NOT NULL,
    parcels     int NOT NULL,
    moves       jsonb NOT NULL,
    outcome     text CHECK (outcome IN ('moved', 'order_changed', 'stock_taken', 'day_full', 'too_late')),
    because     text NOT NULL DEFAULT '',
    ended_at    timestamptz,
    PRIMARY KEY (wave_id, number),
    CONSTRAINT ended_with_an_outcome CHECK ((outcome IS NULL) = (ended_at IS NULL))
);
