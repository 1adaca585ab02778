-- Supply that is expected: what somebody said will come, when, and what came of it.
CREATE TABLE inbound (
    inbound_id     text PRIMARY KEY,
    kind           text NOT NULL CHECK (kind IN ('purchase_order', 'transfer', 'advice')),
    node_id        text NOT NULL REFERENCES node,
    origin_node_id text REFERENCES node,
    expected_at    timestamptz NOT NULL,
    status         text NOT NULL DEFAULT 'expected' CHECK (status IN ('expected', 'in_transit', 'closed', 'cancelled')),
    reference      text NOT NULL DEFAULT '',
    actor          text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    closed_at      timestamptz,
    CONSTRAINT only_transfers_have_an_origin CHECK ((kind = 'transfer') = (origin_node_id IS NOT NULL)),
    CONSTRAINT goes_somewhere CHECK (origin_node_id <> node_id)
);
CREATE INDEX inbound_open ON inbound (node_id, expected_at) WHERE closed_at IS NULL;

-- open: still to come. received ones are on hand, damaged ones in quarantine; what never came is missing.
CREATE TABLE inbound_line (
    inbound_id text NOT NULL REFERENCES inbound,
    line_no    int NOT NULL,
    sku        text NOT NULL REFERENCES item,
    quantity   bigint NOT NULL CHECK (quantity > 0),
    open       bigint NOT NULL CHECK (open >= 0),
    received   bigint NOT NULL DEFAULT 0 CHECK (received >= 0),
    damaged    bigint NOT NULL DEFAULT 0 CHECK (damaged >= 0),
    missing    bigint NOT NULL DEFAULT 0 CHECK (missing >= 0),
    over       bigint NOT NULL DEFAULT 0 CHECK (over >= 0),
    bound      bigint NOT NULL DEFAULT 0 CHECK (bound >= 0),
    PRIMARY KEY (inbound_id, line_no),
    CONSTRAINT each_unit_came_or_did_not CHECK (open + received + damaged + missing = quantity + over),
    CONSTRAINT binds_only_what_comes CHECK (bound <= open)
);
CREATE INDEX inbound_line_coming ON inbound_line (sku) WHERE open > 0;

-- Units of a backordered line that wait for this supply.
CREATE TABLE supply_binding (
    order_id   text NOT NULL,
    line_no    int NOT NULL,
    inbound_id text NOT NULL,
    inbound_line_no int NOT NULL,
    quantity   bigint NOT NULL CHECK (quantity > 0),
    bound_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, line_no, inbound_id, inbound_line_no),
    FOREIGN KEY (order_id, line_no) REFERENCES order_line,
    FOREIGN KEY (inbound_id, inbound_line_no) REFERENCES inbound_line
);
CREATE INDEX supply_binding_inbound ON supply_binding (inbound_id, inbound_line_no);
