-- What the channel marked the order with; policies' conditions ask for it.
ALTER TABLE orders ADD COLUMN tags text[] NOT NULL DEFAULT '{}';

-- Its place by the batches of its policy when it was last planned, compared from the left: the batch, and what that
-- sorts by. NULL stands for the promise as it is when it is asked for, NaN for the later promise first.
ALTER TABLE orders ADD COLUMN batch double precision[] NOT NULL DEFAULT '{}';

-- sourcing: a person decides about units without a source; the others go on.
ALTER TABLE hold DROP CONSTRAINT hold_kind_check;
ALTER TABLE hold ADD CONSTRAINT hold_kind_check CHECK (kind IN ('payment', 'fraud', 'address', 'staff', 'sourcing'));
