-- Stores where customers may fetch their carts.
ALTER TABLE node ADD COLUMN pickup_enabled boolean NOT NULL DEFAULT false;

-- How the customer gets what an order or a cart holds. ship_to of an order that ends at a store is the store.
ALTER TABLE orders
    ADD COLUMN method text NOT NULL DEFAULT 'ship' CHECK (method IN ('ship', 'dropship', 'pickup', 'ship_to_store')),
    ADD COLUMN pickup_node_id text REFERENCES node,
    ADD CONSTRAINT fetched_somewhere CHECK ((method IN ('pickup', 'ship_to_store')) = (pickup_node_id IS NOT NULL));
ALTER TABLE cart_hold
    ADD COLUMN method text NOT NULL DEFAULT 'ship',
    ADD COLUMN pickup_node_id text,
    ADD COLUMN service text NOT NULL DEFAULT 'standard';

-- From when the customer can fetch it.
ALTER TABLE fulfillment_order ADD COLUMN ready_at timestamptz;
