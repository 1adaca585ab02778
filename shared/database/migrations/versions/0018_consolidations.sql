-- Fulfillment orders of one recipient, from one node, that travel in one parcel. Each keeps its order, lines and money.

-- sealed_at: from then on its label is bought, by sealed_by: nobody joins or leaves any more. It goes by the carrier's
-- service that was planned for the member who has to have it first.
CREATE TABLE consolidation (
    consolidation_id text PRIMARY KEY,
    node_id          text NOT NULL REFERENCES node,
    carrier          text,
    service          text,
    opened_by        text NOT NULL,
    opened_at        timestamptz NOT NULL DEFAULT now(),
    sealed_at        timestamptz,
    sealed_by        text REFERENCES fulfillment_order,
    CONSTRAINT sealed_by_somebody CHECK (num_nulls(sealed_at, sealed_by, carrier, service) IN (0, 4))
);

CREATE TABLE consolidation_member (
    consolidation_id     text NOT NULL REFERENCES consolidation,
    fulfillment_order_id text NOT NULL REFERENCES fulfillment_order,
    joined_at            timestamptz NOT NULL DEFAULT now(),
    left_at              timestamptz,
    left_because         text NOT NULL DEFAULT '',
    PRIMARY KEY (consolidation_id, fulfillment_order_id)
);
CREATE UNIQUE INDEX one_parcel_at_a_time ON consolidation_member (fulfillment_order_id) WHERE left_at IS NULL;
CREATE INDEX consolidation_member_of ON consolidation_member (fulfillment_order_id);

-- Who else is on the way to this customer.
CREATE INDEX orders_customer ON orders (customer_ref, channel) WHERE closed_at IS NULL AND customer_ref <> '';

ALTER TABLE fulfillment_order ADD COLUMN packed_at timestamptz;

-- parcel_no: the node's number of the parcel among those of the consolidation; 0 is a parcel of its own.
-- label_reference: what its label is bought under. Packages under one reference travel as one parcel.
ALTER TABLE package
    ADD COLUMN parcel_no int NOT NULL DEFAULT 0 CHECK (parcel_no >= 0),
    ADD COLUMN label_reference text NOT NULL DEFAULT '';
CREATE INDEX package_label ON package (label_reference) WHERE label_reference <> '';
