-- Cartons that nodes pack in; those without a node are packed in by every node that has none of its own.
CREATE TABLE carton (
    name         text NOT NULL,
    node_id      text NOT NULL DEFAULT '',
    length_mm    int NOT NULL CHECK (length_mm > 0),
    width_mm     int NOT NULL CHECK (width_mm > 0),
    height_mm    int NOT NULL CHECK (height_mm > 0),
    max_weight_g int NOT NULL CHECK (max_weight_g > 0),
    tare_g       int NOT NULL DEFAULT 0 CHECK (tare_g >= 0),
    cost_minor   bigint NOT NULL DEFAULT 0 CHECK (cost_minor >= 0),
    in_use       boolean NOT NULL DEFAULT true,
    PRIMARY KEY (node_id, name)
);
CREATE TRIGGER carton_bumps AFTER INSERT OR UPDATE OR DELETE ON carton
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();

-- An item that is its own package.
ALTER TABLE item ADD COLUMN own_container boolean NOT NULL DEFAULT false;

-- The packages a shipment was planned as; what the node reports is in package, and that counts.
ALTER TABLE fulfillment_order ADD COLUMN packages jsonb NOT NULL DEFAULT '[]';
