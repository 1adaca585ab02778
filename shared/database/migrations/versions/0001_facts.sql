-- The facts. Every invariant a constraint can hold is a constraint.

CREATE TABLE partner (
    partner_id text PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('payment', 'carrier', 'fulfillment')),
    base_url   text NOT NULL,
    connector  text
);

CREATE TABLE node (
    node_id              text PRIMARY KEY,
    name                 text NOT NULL,
    node_type            text NOT NULL CHECK (node_type IN ('warehouse', 'store', '3pl', 'vendor')),
    partner_id           text NOT NULL REFERENCES partner,
    place                jsonb NOT NULL,
    calendar             jsonb NOT NULL,
    handling_days        int NOT NULL CHECK (handling_days >= 0),
    daily_units          int CHECK (daily_units >= 0),
    handling_order_minor bigint NOT NULL DEFAULT 0 CHECK (handling_order_minor >= 0),
    handling_unit_minor  bigint NOT NULL DEFAULT 0 CHECK (handling_unit_minor >= 0),
    dropship_fee_minor   bigint NOT NULL DEFAULT 0 CHECK (dropship_fee_minor >= 0),
    ship_enabled         boolean NOT NULL DEFAULT true
);

CREATE TABLE service_rate (
    carrier         text NOT NULL REFERENCES partner,
    service         text NOT NULL,
    level           text NOT NULL,
    max_distance_km int NOT NULL CHECK (max_distance_km > 0),
    breaks          jsonb NOT NULL,
    transit_days    int NOT NULL CHECK (transit_days >= 0),
    PRIMARY KEY (carrier, service, max_distance_km)
);

-- One row; counts changes of nodes and rates, so that planners know when what they remember is stale.
CREATE TABLE network_version (one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row), version bigint NOT NULL DEFAULT 1);
INSERT INTO network_version DEFAULT VALUES;
CREATE FUNCTION bump_network_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE network_version SET version = version + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER node_changed AFTER INSERT OR UPDATE OR DELETE ON node
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();
CREATE TRIGGER rate_changed AFTER INSERT OR UPDATE OR DELETE ON service_rate
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();

CREATE TABLE item (
    sku         text PRIMARY KEY,
    name        text NOT NULL DEFAULT '',
    weight_g    int NOT NULL CHECK (weight_g >= 0),
    length_mm   int NOT NULL CHECK (length_mm >= 0),
    width_mm    int NOT NULL CHECK (width_mm >= 0),
    height_mm   int NOT NULL CHECK (height_mm >= 0),
    price_minor bigint NOT NULL CHECK (price_minor >= 0),
    cost_minor  bigint NOT NULL CHECK (cost_minor >= 0),
    currency    text NOT NULL CHECK (currency ~ '^[A-Z]{3}$')
);

CREATE TABLE source_offer (
    node_id     text NOT NULL REFERENCES node,
    sku         text NOT NULL REFERENCES item,
    partner_sku text NOT NULL,
    cost_minor  bigint NOT NULL CHECK (cost_minor >= 0),
    pack_size   int NOT NULL DEFAULT 1 CHECK (pack_size > 0),
    lead_days   int NOT NULL DEFAULT 0 CHECK (lead_days >= 0),
    PRIMARY KEY (node_id, sku)
);

-- Stock. on_hand and reserved are the sums of stock_move and change only in the statement that adds the moves.
-- Moves and reservations are added only for positions that the same statement has locked, so they need no foreign key
-- to them: checking one for every row costs a quarter of all reservations. Positions refer to node and item, which is
-- checked once for all that a statement opens: row by row it would cost more than writing them down.
CREATE TABLE stock_position (
    node_id  text NOT NULL,
    sku      text NOT NULL,
    on_hand  bigint NOT NULL DEFAULT 0,
    reserved bigint NOT NULL DEFAULT 0,
    safety   bigint NOT NULL DEFAULT 0 CHECK (safety >= 0),
    PRIMARY KEY (node_id, sku),
    CONSTRAINT never_oversold CHECK (0 <= reserved AND reserved <= on_hand)
) WITH (fillfactor = 60);
CREATE INDEX stock_position_sku ON stock_position (sku);

-- The node is locked against its removal; an item is never removed at all.
CREATE FUNCTION check_opened() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stranger record;
BEGIN
    IF NOT EXISTS (SELECT FROM opened) THEN
        RETURN NULL;
    END IF;
    PERFORM FROM node WHERE node_id IN (SELECT node_id FROM opened) ORDER BY node_id FOR KEY SHARE;
    SELECT o.node_id, o.sku INTO stranger FROM opened o
    WHERE NOT EXISTS (SELECT FROM node n WHERE n.node_id = o.node_id) LIMIT 1;
    IF FOUND THEN
        RAISE foreign_key_violation USING MESSAGE = format('there is no node %s', stranger.node_id);
    END IF;
    SELECT o.node_id, o.sku INTO stranger FROM opened o
    WHERE NOT EXISTS (SELECT FROM item i WHERE i.sku = o.sku) LIMIT 1;
    IF FOUND THEN
        RAISE foreign_key_violation USING MESSAGE = format('there is no item %s', stranger.sku);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER opened AFTER INSERT ON stock_position REFERENCING NEW TABLE AS opened
    FOR EACH STATEMENT EXECUTE FUNCTION check_opened();

CREATE FUNCTION refuse_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE foreign_key_violation USING MESSAGE = format('what is in %s keeps its key, and stays', TG_TABLE_NAME);
END $$;
CREATE TRIGGER keeps_key BEFORE UPDATE OF node_id, sku ON stock_position
    FOR EACH ROW WHEN (OLD.node_id <> NEW.node_id OR OLD.sku <> NEW.sku) EXECUTE FUNCTION refuse_removal();
CREATE TRIGGER keeps_key BEFORE UPDATE OF sku ON item
    FOR EACH ROW WHEN (OLD.sku <> NEW.sku) EXECUTE FUNCTION refuse_removal();
CREATE TRIGGER stays BEFORE DELETE ON item FOR EACH ROW EXECUTE FUNCTION refuse_removal();
CREATE FUNCTION refuse_stocked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM stock_position WHERE node_id = OLD.node_id) THEN
        RAISE foreign_key_violation USING MESSAGE = format('there is stock at %s', OLD.node_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER keeps_key AFTER UPDATE OF node_id ON node
    FOR EACH ROW WHEN (OLD.node_id <> NEW.node_id) EXECUTE FUNCTION refuse_stocked();
CREATE TRIGGER stays AFTER DELETE ON node FOR EACH ROW EXECUTE FUNCTION refuse_stocked();

CREATE TABLE stock_move (
    move_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now(),
    node_id   text NOT NULL,
    sku       text NOT NULL,
    cause     text NOT NULL CHECK (cause IN ('receive', 'reserve', 'release', 'ship', 'restock', 'write_off', 'adjust')),
    on_hand   bigint NOT NULL,
    reserved  bigint NOT NULL,
    reference text NOT NULL,
    actor     text NOT NULL,
    CONSTRAINT once UNIQUE (reference, cause, node_id, sku),
    CONSTRAINT moves_something CHECK (on_hand <> 0 OR reserved <> 0 OR cause = 'write_off')
);
CREATE INDEX stock_move_position ON stock_move (node_id, sku, move_id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON stock_move
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE policy_version (
    version    text PRIMARY KEY,
    sourcing   jsonb NOT NULL,
    process    jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    active     boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX one_active_policy ON policy_version (active) WHERE active;

CREATE TABLE orders (
    order_id         text PRIMARY KEY,
    channel          text NOT NULL,
    channel_order_id text NOT NULL,
    content_hash     text NOT NULL,
    currency         text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    placed_at        timestamptz NOT NULL,
    received_at      timestamptz NOT NULL DEFAULT now(),
    closed_at        timestamptz,
    customer_ref     text NOT NULL DEFAULT '',
    ship_to          jsonb NOT NULL,
    place            jsonb NOT NULL,
    service          text NOT NULL,
    priority         smallint NOT NULL CHECK (priority BETWEEN 1 AND 5),
    shipping_minor   bigint NOT NULL CHECK (shipping_minor >= 0),
    total_minor      bigint NOT NULL CHECK (total_minor >= 0),
    payment          jsonb NOT NULL,
    policy_version   text NOT NULL REFERENCES policy_version,
    lifecycle        text NOT NULL DEFAULT 'placed' CHECK (lifecycle IN ('placed', 'open', 'closed', 'cancelled')),
    accepted         boolean NOT NULL DEFAULT false,
    promised_at      timestamptz,
    verdict          jsonb,
    UNIQUE (channel, channel_order_id)
);
CREATE INDEX orders_open ON orders (received_at) WHERE closed_at IS NULL;

CREATE TABLE order_line (
    order_id         text NOT NULL REFERENCES orders,
    line_no          int NOT NULL,
    sku              text NOT NULL REFERENCES item,
    quantity         int NOT NULL CHECK (quantity > 0),
    unit_price_minor bigint NOT NULL CHECK (unit_price_minor >= 0),
    total_minor      bigint NOT NULL CHECK (total_minor >= 0),
    tax_minor        bigint NOT NULL DEFAULT 0 CHECK (tax_minor BETWEEN 0 AND total_minor),
    unallocated      int NOT NULL CHECK (unallocated >= 0),
    backordered      int NOT NULL DEFAULT 0 CHECK (backordered >= 0),
    allocated        int NOT NULL DEFAULT 0 CHECK (allocated >= 0),
    released         int NOT NULL DEFAULT 0 CHECK (released >= 0),
    shipped          int NOT NULL DEFAULT 0 CHECK (shipped >= 0),
    delivered        int NOT NULL DEFAULT 0 CHECK (delivered >= 0),
    cancelled        int NOT NULL DEFAULT 0 CHECK (cancelled >= 0),
    returned         int NOT NULL DEFAULT 0 CHECK (returned >= 0),
    PRIMARY KEY (order_id, line_no),
    CONSTRAINT each_unit_is_somewhere_once CHECK (
        unallocated + backordered + allocated + released + shipped + delivered + cancelled + returned = quantity)
) WITH (fillfactor = 70);
CREATE INDEX order_line_waiting ON order_line (sku) WHERE backordered > 0;

CREATE TABLE hold (
    order_id    text NOT NULL REFERENCES orders,
    hold_id     text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('payment', 'fraud', 'address', 'staff')),
    reason      text NOT NULL,
    placed_by   text NOT NULL,
    placed_at   timestamptz NOT NULL DEFAULT now(),
    released_by text,
    released_at timestamptz,
    PRIMARY KEY (order_id, hold_id)
);

CREATE TABLE timeline (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id text NOT NULL REFERENCES orders,
    at       timestamptz NOT NULL DEFAULT now(),
    actor    text NOT NULL,
    event    text NOT NULL,
    detail   jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX timeline_order ON timeline (order_id, event_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON timeline FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE decision (
    order_id text NOT NULL REFERENCES orders,
    attempt  int NOT NULL,
    plan     jsonb NOT NULL,
    PRIMARY KEY (order_id, attempt)
);

CREATE TABLE fulfillment_order (
    fulfillment_order_id text PRIMARY KEY,
    order_id       text NOT NULL REFERENCES orders,
    n              int NOT NULL,
    node_id        text NOT NULL REFERENCES node,
    units          int NOT NULL CHECK (units > 0),
    status         text NOT NULL CHECK (status IN (
        'open', 'in_progress', 'incomplete', 'closed', 'cancelled', 'replanned')),
    request_status text NOT NULL DEFAULT 'unsubmitted' CHECK (request_status IN (
        'unsubmitted', 'submitted', 'accepted', 'rejected', 'cancel_requested', 'cancel_accepted', 'closed')),
    carrier        text NOT NULL,
    service        text NOT NULL,
    release_at     timestamptz,
    ship_by        timestamptz NOT NULL,
    deliver_by     timestamptz NOT NULL,
    cost           jsonb NOT NULL,
    planned_minor  bigint NOT NULL,
    excludes_node  boolean NOT NULL DEFAULT false,
    staff_chose    boolean NOT NULL DEFAULT false,
    reason         text NOT NULL DEFAULT '',
    created_at     timestamptz NOT NULL DEFAULT now(),
    submitted_at   timestamptz,
    shipped_at     timestamptz,
    delivered_at   timestamptz,
    ended_at       timestamptz,
    UNIQUE (order_id, n)
) WITH (fillfactor = 70);
CREATE INDEX fulfillment_order_open ON fulfillment_order (node_id) WHERE ended_at IS NULL;

-- A claim on stock. Its owner is the fulfillment order it will ship with.
CREATE TABLE reservation (
    owner    text NOT NULL,
    line_no  int NOT NULL,
    order_id text NOT NULL REFERENCES orders,
    node_id  text NOT NULL,
    sku      text NOT NULL,
    quantity int NOT NULL CHECK (quantity > 0),
    open     int NOT NULL CHECK (open >= 0),
    shipped  int NOT NULL DEFAULT 0 CHECK (shipped >= 0),
    released int NOT NULL DEFAULT 0 CHECK (released >= 0),
    PRIMARY KEY (owner, line_no),
    CONSTRAINT each_unit_has_one_fate CHECK (open + shipped + released = quantity)
) WITH (fillfactor = 70);
CREATE INDEX reservation_order ON reservation (order_id);

CREATE TABLE package (
    package_id           text PRIMARY KEY,
    fulfillment_order_id text NOT NULL REFERENCES fulfillment_order,
    order_id             text NOT NULL REFERENCES orders,
    package_no           int NOT NULL,
    weight_g             int NOT NULL DEFAULT 0,
    lines                jsonb NOT NULL,
    carrier              text NOT NULL DEFAULT '',
    service              text NOT NULL DEFAULT '',
    tracking_no          text NOT NULL DEFAULT '',
    label_id             text,
    label_cost_minor     bigint NOT NULL DEFAULT 0,
    label_status         text NOT NULL DEFAULT 'none'
        CHECK (label_status IN ('none', 'purchasing', 'completed', 'voided', 'partner')),
    tracking_status      text NOT NULL DEFAULT 'unknown',
    tracking_rank        smallint NOT NULL DEFAULT 0,
    shipped_at           timestamptz,
    delivered_at         timestamptz,
    UNIQUE (fulfillment_order_id, package_no)
);
CREATE INDEX package_tracking ON package (tracking_no) WHERE tracking_no <> '';
CREATE INDEX package_order ON package (order_id);

CREATE TABLE payment (
    order_id         text PRIMARY KEY REFERENCES orders,
    currency         text NOT NULL,
    authorization_id text,
    authorized_minor bigint NOT NULL DEFAULT 0,
    captured_minor   bigint NOT NULL DEFAULT 0,
    voided_minor     bigint NOT NULL DEFAULT 0,
    refunded_minor   bigint NOT NULL DEFAULT 0,
    CONSTRAINT never_more_than_authorized CHECK (
        0 <= captured_minor AND 0 <= voided_minor AND captured_minor + voided_minor <= authorized_minor),
    CONSTRAINT never_refund_more_than_captured CHECK (0 <= refunded_minor AND refunded_minor <= captured_minor)
);

CREATE TABLE payment_operation (
    reference    text PRIMARY KEY,
    order_id     text NOT NULL REFERENCES orders,
    kind         text NOT NULL CHECK (kind IN ('authorize', 'capture', 'void', 'refund')),
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    status       text NOT NULL DEFAULT 'intended' CHECK (status IN ('intended', 'succeeded', 'declined')),
    provider_id  text NOT NULL DEFAULT '',
    reason       text NOT NULL DEFAULT '',
    intended_at  timestamptz NOT NULL DEFAULT now(),
    answered_at  timestamptz
);
CREATE INDEX payment_operation_order ON payment_operation (order_id);

CREATE TABLE return_order (
    return_id    text PRIMARY KEY,
    order_id     text NOT NULL REFERENCES orders,
    n            int NOT NULL,
    status       text NOT NULL CHECK (status IN (
        'requested', 'approved', 'declined', 'received', 'settled', 'closed', 'expired')),
    reason       text NOT NULL,
    node_id      text REFERENCES node,
    refund_minor bigint NOT NULL DEFAULT 0 CHECK (refund_minor >= 0),
    requested_by text NOT NULL,
    decided_by   text,
    requested_at timestamptz NOT NULL DEFAULT now(),
    received_at  timestamptz,
    closed_at    timestamptz,
    UNIQUE (order_id, n)
);

CREATE TABLE return_line (
    return_id   text NOT NULL REFERENCES return_order,
    line_no     int NOT NULL,
    sku         text NOT NULL,
    quantity    int NOT NULL CHECK (quantity > 0),
    received    int NOT NULL DEFAULT 0 CHECK (received >= 0),
    restocked   int NOT NULL DEFAULT 0 CHECK (restocked >= 0),
    written_off int NOT NULL DEFAULT 0 CHECK (written_off >= 0),
    PRIMARY KEY (return_id, line_no),
    CONSTRAINT received_within_request CHECK (received <= quantity),
    CONSTRAINT disposed_within_received CHECK (restocked + written_off <= received)
);

-- What we intend to do outside, written before the first byte leaves, and what came of it.
CREATE TABLE message_out (
    message_key text PRIMARY KEY,
    partner_id  text NOT NULL,
    order_id    text NOT NULL,
    attempts    int NOT NULL DEFAULT 1,
    intended_at timestamptz NOT NULL DEFAULT now(),
    answered_at timestamptz,
    answer      jsonb
);
CREATE INDEX message_out_open ON message_out (intended_at) WHERE answered_at IS NULL;

-- What partners told us; a message has its effect once, in the transaction that sets applied_at.
-- told_again: how often its wake-up was owed anew, to a process that took the place of the one that had heard it.
CREATE TABLE message_in (
    partner_id   text NOT NULL,
    message_id   text NOT NULL,
    type         text NOT NULL,
    reference    text NOT NULL,
    body         jsonb NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now(),
    applied_at   timestamptz,
    order_id     text,
    workflow_id  text,
    wake         jsonb,
    signalled_at timestamptz,
    told_again   int NOT NULL DEFAULT 0,
    PRIMARY KEY (partner_id, message_id)
);
CREATE INDEX message_in_unmatched ON message_in (reference) WHERE applied_at IS NULL;
CREATE INDEX message_in_order ON message_in (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX message_in_unsignalled ON message_in (received_at) WHERE wake IS NOT NULL AND signalled_at IS NULL;

-- Who is to be told to look again: an order, or all that wait for an item. Written in the transaction of what there is
-- to look at; a row goes once its processes were told.
CREATE TABLE wake (
    wake_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id text,
    sku      text,
    kind     text NOT NULL CHECK (kind IN ('stock_arrived', 'supply_changed', 'replanned')),
    at       timestamptz NOT NULL DEFAULT now(),
    tx       xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CHECK (num_nonnulls(order_id, sku) = 1)
);
CREATE INDEX wake_tx ON wake (tx);
CREATE INDEX wake_order ON wake (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX wake_sku ON wake (sku) WHERE sku IS NOT NULL;

-- The result of each database step under its key, kept in the transaction of its effect.
CREATE TABLE step_result (
    step_key text PRIMARY KEY,
    result   jsonb NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE exception_case (
    case_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,
    reference   text NOT NULL,
    order_id    text,
    detail      jsonb NOT NULL DEFAULT '{}',
    opened_at   timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolution  text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX one_open_case ON exception_case (kind, reference) WHERE resolved_at IS NULL;

CREATE TABLE reconciliation_run (
    run_id      text PRIMARY KEY,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    checked     jsonb NOT NULL,
    breaks      int NOT NULL
);
