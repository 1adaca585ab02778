-- What the channel marked the order with; policies' conditions ask for it.
ALTER TABLE orders ADD COLUMN tags text[] NOT NULL DEFAULT '{}';

-- sourcing: a person decides about units without a source; the others go on.
ALTER TABLE hold DROP CONSTRAINT hold_kind_check;
ALTER TABLE hold ADD CONSTRAINT hold_kind_check CHECK (kind IN ('payment', 'fraud', 'address', 'staff', 'sourcing'));
