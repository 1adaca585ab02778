-- What the channel marked the order with; policies' conditions ask for it.
ALTER TABLE orders ADD COLUMN tags text[] NOT NULL DEFAULT '{}';

-- Its place by the batches of its policy when it was last planned, compared from the left: the batch, and what that
-- sorts by. NULL stands for the promise, NaN for the later promise first; as the promise changes, so does the batch.
ALTER TABLE orders
    ADD COLUMN place_in_batch double precision[] NOT NULL DEFAULT '{}',
    ADD COLUMN batch double precision[] NOT NULL GENERATED ALWAYS AS (
        array_replace(
            array_replace(place_in_batch, NULL,
                          extract(epoch FROM coalesce(promised_at, 'infinity') AT TIME ZONE 'UTC')::double precision),
            'NaN', -extract(epoch FROM coalesce(promised_at, 'infinity') AT TIME ZONE 'UTC')::double precision)) STORED;

-- sourcing: a person decides about units without a source; the others go on.
ALTER TABLE hold DROP CONSTRAINT hold_kind_check;
ALTER TABLE hold ADD CONSTRAINT hold_kind_check CHECK (kind IN ('payment', 'fraud', 'address', 'staff', 'sourcing'));
