-- Units held for carts, and items sold as bundles of others.

-- What a channel asked to be held for a cart. The same cart is held once.
CREATE TABLE cart_hold (
    cart_hold_id text PRIMARY KEY,
    channel      text NOT NULL,
    content_hash text NOT NULL,
    lines        jsonb NOT NULL,
    held_at      timestamptz NOT NULL DEFAULT now()
);

-- The units, by position: open ones are part of the position's held. A row changes only in a statement that has
-- locked its position, and after it, so that nobody ever waits for a row of this table.
CREATE TABLE cart_hold_line (
    cart_hold_id text NOT NULL REFERENCES cart_hold,
    node_id      text NOT NULL,
    sku          text NOT NULL,
    quantity     bigint NOT NULL CHECK (quantity > 0),
    open         bigint NOT NULL CHECK (open >= 0),
    ordered      bigint NOT NULL DEFAULT 0 CHECK (ordered >= 0),
    given_back   bigint NOT NULL DEFAULT 0 CHECK (given_back >= 0),
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (cart_hold_id, node_id, sku),
    CONSTRAINT each_held_unit_has_one_fate CHECK (open + ordered + given_back = quantity)
);
CREATE INDEX cart_hold_line_open ON cart_hold_line (sku, node_id, expires_at) WHERE open > 0;
CREATE INDEX cart_hold_line_due ON cart_hold_line (expires_at) WHERE open > 0;

-- The cart an order was made of: its held units become the order's.
ALTER TABLE orders ADD COLUMN cart_hold_id text;

-- An item that is a bundle has no stock of its own: it is its components.
CREATE TABLE bundle_component (
    bundle_sku    text NOT NULL REFERENCES item,
    component_sku text NOT NULL REFERENCES item,
    quantity      int NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (bundle_sku, component_sku),
    CONSTRAINT is_not_its_own_component CHECK (bundle_sku <> component_sku)
);
CREATE INDEX bundle_component_sku ON bundle_component (component_sku);
CREATE FUNCTION note_bundle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO availability_change (sku) VALUES (CASE TG_OP WHEN 'DELETE' THEN OLD.bundle_sku ELSE NEW.bundle_sku END);
    RETURN NULL;
END $$;
CREATE TRIGGER bundle_changed AFTER INSERT OR UPDATE OR DELETE ON bundle_component
    FOR EACH ROW EXECUTE FUNCTION note_bundle();

-- A line of a bundle as it was ordered; its units are those of the order's lines that name it.
CREATE TABLE bundle_line (
    order_id         text NOT NULL REFERENCES orders,
    line_no          int NOT NULL,
    sku              text NOT NULL REFERENCES item,
    quantity         int NOT NULL CHECK (quantity > 0),
    unit_price_minor bigint NOT NULL CHECK (unit_price_minor >= 0),
    total_minor      bigint NOT NULL CHECK (total_minor >= 0),
    PRIMARY KEY (order_id, line_no)
);
ALTER TABLE order_line ADD COLUMN bundle_line_no int;
