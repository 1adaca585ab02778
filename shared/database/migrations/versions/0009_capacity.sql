-- Capacity of nodes by day, reserved like stock. A day is one of the node's own calendar: the day a shipment is handed
-- over to the carrier. A service is what orders ask for; '' stands for all of them together.

-- What holds on a day: a peak, a closure (0 units), or a limit for one service. Without units the node's daily_units
-- hold. orders counts the fulfillment orders that are made ready on the day; what takes several days counts on each.
CREATE TABLE node_capacity (
    node_id text NOT NULL REFERENCES node,
    day     date NOT NULL,
    service text NOT NULL DEFAULT '',
    units   int CHECK (units >= 0),
    orders  int CHECK (orders >= 0),
    PRIMARY KEY (node_id, day, service),
    CONSTRAINT limits_something CHECK (units IS NOT NULL OR orders IS NOT NULL)
);

-- Days of which something was taken. No row where there is no limit.
-- units, orders: the limits; NULL where there is none, or none any more.
-- excess: units beyond the limit that had been taken before it was lowered. Only that may ever be over it.
CREATE TABLE capacity_use (
    node_id         text NOT NULL REFERENCES node,
    day             date NOT NULL,
    service         text NOT NULL DEFAULT '',
    units           int,
    reserved        int NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    consumed        int NOT NULL DEFAULT 0 CHECK (consumed >= 0),
    excess          int NOT NULL DEFAULT 0 CHECK (excess >= 0),
    orders          int,
    reserved_orders int NOT NULL DEFAULT 0 CHECK (reserved_orders >= 0),
    consumed_orders int NOT NULL DEFAULT 0 CHECK (consumed_orders >= 0),
    excess_orders   int NOT NULL DEFAULT 0 CHECK (excess_orders >= 0),
    PRIMARY KEY (node_id, day, service),
    CONSTRAINT never_overbooked CHECK (
        reserved + consumed <= units + excess AND reserved_orders + consumed_orders <= orders + excess_orders)
) WITH (fillfactor = 50);

-- A claim on a day. Its owner is the fulfillment order whose units are made ready on it. As an order of the day it is
-- reserved while any of its units are, then consumed when some have left, else given back.
CREATE TABLE capacity_claim (
    owner    text NOT NULL,
    node_id  text NOT NULL,
    day      date NOT NULL,
    service  text NOT NULL,
    units    int NOT NULL CHECK (units > 0),
    reserved int NOT NULL CHECK (reserved >= 0),
    consumed int NOT NULL DEFAULT 0 CHECK (consumed >= 0),
    released int NOT NULL DEFAULT 0 CHECK (released >= 0),
    PRIMARY KEY (owner, day, service),
    FOREIGN KEY (node_id, day, service) REFERENCES capacity_use,
    CONSTRAINT each_claimed_unit_has_one_fate CHECK (reserved + consumed + released = units)
) WITH (fillfactor = 70);
CREATE INDEX capacity_claim_day ON capacity_claim (node_id, day);

-- The limits as the data have them now; NULL is none.
CREATE FUNCTION capacity_limit(node_id text, day date, service text, OUT units int, OUT orders int)
LANGUAGE sql STABLE AS $$
    SELECT coalesce(c.units, CASE WHEN $3 = '' THEN n.daily_units END), c.orders
    FROM node n LEFT JOIN node_capacity c ON (c.node_id, c.day, c.service) = ($1, $2, $3)
    WHERE n.node_id = $1
$$;

-- Whoever changes the data, what was taken is measured by them: a limit lowered below it leaves an excess.
CREATE FUNCTION follow_capacity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH locked AS MATERIALIZED (
        SELECT u.node_id, u.day, u.service, u.reserved + u.consumed AS used,
               u.reserved_orders + u.consumed_orders AS used_orders, l.units, l.orders
        FROM capacity_use u CROSS JOIN LATERAL capacity_limit(u.node_id, u.day, u.service) l
        WHERE u.day > current_date - 2 AND (u.units, u.orders) IS DISTINCT FROM (l.units, l.orders)
        ORDER BY u.node_id, u.day, u.service
        FOR NO KEY UPDATE OF u
    )
    UPDATE capacity_use u
    SET units = l.units, excess = greatest(l.used - l.units, 0),
        orders = l.orders, excess_orders = greatest(l.used_orders - l.orders, 0)
    FROM locked l WHERE (u.node_id, u.day, u.service) = (l.node_id, l.day, l.service);
    RETURN NULL;
END $$;
CREATE TRIGGER capacity_follows AFTER INSERT OR UPDATE OR DELETE ON node_capacity
    FOR EACH STATEMENT EXECUTE FUNCTION follow_capacity();
CREATE TRIGGER capacity_follows AFTER UPDATE OF daily_units ON node
    FOR EACH STATEMENT EXECUTE FUNCTION follow_capacity();
-- Planners remember which nodes are limited.
CREATE TRIGGER capacity_bumps AFTER INSERT OR UPDATE OR DELETE ON node_capacity
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();
