-- Supply that is expected: what somebody said will come, when, and what came of it.
CREATE TABLE inbound (
    inbound_id     text PRIMARY KEY,
    kind           text NOT NULL CHECK (kind IN ('purchase_order', 'transfer', 'advice')),
    node_id        text NOT NULL REFERENCES node,
    origin_node_id text REFERENCES node,
    expected_at    timestamptz NOT NULL,
    status         text NOT NULL DEFAULT 'expected' CHECK (status IN ('expected', 'in_transit', 'closed', 'cancelled')),
    reference      text NOT NULL DEFAULT '',
    content_hash   text NOT NULL,
    actor          text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    departed_at    timestamptz,
    closed_at      timestamptz,
    CONSTRAINT only_transfers_have_an_origin CHECK ((kind = 'transfer') = (origin_node_id IS NOT NULL)),
    CONSTRAINT only_transfers_depart CHECK (departed_at IS NULL OR kind = 'transfer'),
    CONSTRAINT goes_somewhere CHECK (origin_node_id <> node_id),
    CONSTRAINT over_when_closed CHECK ((closed_at IS NOT NULL) = (status IN ('closed', 'cancelled')))
);
CREATE INDEX inbound_open ON inbound (node_id, expected_at) WHERE closed_at IS NULL;

-- open: still to come. received units are on hand, damaged ones in quarantine; what never came is missing.
-- over: came although nobody expected it; a line that was not expected at all has quantity 0.
CREATE TABLE inbound_line (
    inbound_id text NOT NULL REFERENCES inbound,
    sku        text NOT NULL REFERENCES item,
    quantity   bigint NOT NULL CHECK (quantity >= 0),
    open       bigint NOT NULL CHECK (open >= 0),
    received   bigint NOT NULL DEFAULT 0 CHECK (received >= 0),
    damaged    bigint NOT NULL DEFAULT 0 CHECK (damaged >= 0),
    missing    bigint NOT NULL DEFAULT 0 CHECK (missing >= 0),
    over       bigint NOT NULL DEFAULT 0 CHECK (over >= 0),
    bound      bigint NOT NULL DEFAULT 0 CHECK (bound >= 0),
    PRIMARY KEY (inbound_id, sku),
    CONSTRAINT each_unit_came_or_did_not CHECK (open + received + damaged + missing = quantity + over),
    CONSTRAINT binds_only_what_comes CHECK (bound <= open)
) WITH (fillfactor = 70);
CREATE INDEX inbound_line_coming ON inbound_line (sku) WHERE open > 0;

-- Whoever runs a node and has an X12 interchange id is told of transfers on their way to it.
ALTER TABLE partner
    ADD COLUMN edi_id text CHECK (length(edi_id) BETWEEN 2 AND 15),
    ADD COLUMN edi_sender_id text NOT NULL DEFAULT 'DOMS' CHECK (length(edi_sender_id) BETWEEN 2 AND 15);
CREATE TABLE transfer_advice (
    inbound_id  text PRIMARY KEY REFERENCES inbound,
    partner_id  text NOT NULL REFERENCES partner,
    control_no  bigint GENERATED ALWAYS AS IDENTITY,
    intended_at timestamptz NOT NULL DEFAULT now(),
    sent_at     timestamptz,
    fault       text NOT NULL DEFAULT ''
);
CREATE INDEX transfer_advice_open ON transfer_advice (inbound_id) WHERE sent_at IS NULL;

-- One delivery, or part of one, as it was counted in; its own reference makes it count once.
CREATE TABLE inbound_receipt (
    inbound_id   text NOT NULL REFERENCES inbound,
    reference    text NOT NULL,
    content_hash text NOT NULL,
    result       jsonb NOT NULL,
    actor        text NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (inbound_id, reference)
);

-- Units of a backordered line that wait for this supply, and by when they were promised with it.
CREATE TABLE supply_binding (
    order_id    text NOT NULL,
    line_no     int NOT NULL,
    inbound_id  text NOT NULL,
    sku         text NOT NULL,
    quantity    bigint NOT NULL CHECK (quantity > 0),
    promised_at timestamptz NOT NULL,
    PRIMARY KEY (order_id, line_no, inbound_id),
    FOREIGN KEY (order_id, line_no) REFERENCES order_line,
    FOREIGN KEY (inbound_id, sku) REFERENCES inbound_line
);
CREATE INDEX supply_binding_inbound ON supply_binding (inbound_id, sku);

-- A line that waits for fewer units gives supply back, the latest first: whatever made it wait for fewer. Deferred,
-- because inbound lines are locked after stock, and in key order for all of the order's lines at once.
CREATE FUNCTION unbind_what_waits_no_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM supply_binding WHERE order_id = NEW.order_id) THEN
        RETURN NULL;
    END IF;
    PERFORM FROM inbound_line
    WHERE (inbound_id, sku) IN (SELECT inbound_id, sku FROM supply_binding WHERE order_id = NEW.order_id)
    ORDER BY inbound_id, sku FOR NO KEY UPDATE;
    WITH kept AS (
        SELECT b.line_no, b.inbound_id, b.sku, b.quantity AS was,
               greatest(0, least(b.quantity, l.backordered - (sum(b.quantity) OVER earlier - b.quantity))) AS stays
        FROM supply_binding b JOIN order_line l USING (order_id, line_no)
        WHERE b.order_id = NEW.order_id
        WINDOW earlier AS (PARTITION BY b.line_no ORDER BY b.promised_at, b.inbound_id)
    ), given AS (
        UPDATE inbound_line i SET bound = i.bound - g.units
        FROM (SELECT inbound_id, sku, sum(was - stays) AS units FROM kept WHERE stays < was GROUP BY inbound_id, sku) g
        WHERE i.inbound_id = g.inbound_id AND i.sku = g.sku
    ), fewer AS (
        UPDATE supply_binding b SET quantity = k.stays FROM kept k
        WHERE b.order_id = NEW.order_id AND b.line_no = k.line_no AND b.inbound_id = k.inbound_id
          AND k.stays BETWEEN 1 AND k.was - 1
    )
    DELETE FROM supply_binding b USING kept k
    WHERE b.order_id = NEW.order_id AND b.line_no = k.line_no AND b.inbound_id = k.inbound_id AND k.stays = 0;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER unbind AFTER UPDATE OF backordered ON order_line DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.backordered < OLD.backordered) EXECUTE FUNCTION unbind_what_waits_no_more();
