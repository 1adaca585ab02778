-- Planners remember which nodes channels sell from, and whether anything is kept for one of them.
CREATE TRIGGER channel_bumps AFTER INSERT OR UPDATE OR DELETE ON channel
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();
CREATE TRIGGER channel_node_bumps AFTER INSERT OR UPDATE OR DELETE ON channel_node
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();
CREATE TRIGGER allocation_bumps AFTER INSERT OR UPDATE OR DELETE ON channel_allocation
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();

-- Who has an item's units, for those who look at the item.
CREATE INDEX reservation_open ON reservation (sku) WHERE open > 0;
