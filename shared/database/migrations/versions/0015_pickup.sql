-- Stores where customers may fetch their carts.
ALTER TABLE node ADD COLUMN pickup_enabled boolean NOT NULL DEFAULT false;
