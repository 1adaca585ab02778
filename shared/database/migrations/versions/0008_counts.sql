-- Cycle counts, accuracy of records, and alerts.

-- What somebody counted, and what the ledger said at that moment. Kept as it was, also when it changed nothing.
-- booked: what was added to on_hand. It is not the whole variance where orders and carts have claimed more than was
-- counted, and none of it where a later count or correction had been booked before.
CREATE TABLE stock_count (
    reference  text NOT NULL,
    node_id    text NOT NULL REFERENCES node,
    sku        text NOT NULL REFERENCES item,
    counted_at timestamptz NOT NULL,
    counted    bigint NOT NULL CHECK (counted >= 0),
    recorded   bigint NOT NULL,
    variance   bigint NOT NULL GENERATED ALWAYS AS (counted - recorded) STORED,
    booked     bigint NOT NULL,
    superseded boolean NOT NULL,
    reason     text NOT NULL,
    actor      text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (reference, node_id, sku)
);
CREATE INDEX stock_count_position ON stock_count (node_id, sku, counted_at);
CREATE INDEX stock_count_counted_at ON stock_count (counted_at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON stock_count
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- When a level is worth an alert. Without a node or channel: all that is free at every node.
-- Each level has another at which it is over, so that one that wavers does not alert each time.
CREATE TABLE stock_threshold (
    sku         text NOT NULL REFERENCES item,
    node_id     text REFERENCES node,
    channel     text REFERENCES channel,
    low         bigint CHECK (low >= 0),
    low_clear   bigint CHECK (low_clear >= low),
    high        bigint CHECK (high >= 0),
    high_clear  bigint CHECK (high_clear BETWEEN 0 AND high),
    aged_days   int CHECK (aged_days > 0),
    lead_days   int CHECK (lead_days >= 0),
    safety_days int CHECK (safety_days >= 0),
    target      bigint CHECK (target >= low),
    CONSTRAINT one_threshold UNIQUE NULLS NOT DISTINCT (sku, node_id, channel),
    CONSTRAINT node_or_channel CHECK (node_id IS NULL OR channel IS NULL),
    CONSTRAINT channels_sell CHECK (channel IS NULL OR (aged_days IS NULL AND lead_days IS NULL AND target IS NULL))
);

-- One per crossing: as long as its level is not back (cleared_at), it is not raised again, also when staff resolved it.
CREATE TABLE alert (
    alert_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind            text NOT NULL CHECK (kind IN ('low', 'excess', 'aged', 'shortage')),
    sku             text NOT NULL REFERENCES item,
    node_id         text REFERENCES node,
    channel         text REFERENCES channel,
    level           bigint NOT NULL,
    threshold       bigint NOT NULL,
    opened_at       timestamptz NOT NULL DEFAULT now(),
    acknowledged_at timestamptz,
    acknowledged_by text,
    resolved_at     timestamptz,
    resolved_by     text,
    resolution      text NOT NULL DEFAULT '',
    cleared_at      timestamptz,
    CONSTRAINT cleared_is_resolved CHECK (cleared_at IS NULL OR resolved_at IS NOT NULL)
);
CREATE UNIQUE INDEX one_alert_per_crossing ON alert (kind, sku, node_id, channel) NULLS NOT DISTINCT
    WHERE cleared_at IS NULL;
CREATE INDEX alert_opened_at ON alert (opened_at);

-- What a partner held, by its own books, where that is not what the ledger says of the same moment. It is judged again
-- in every reconciliation, until it is known what left by then: orders under way are no explanation for ever.
CREATE TABLE stock_comparison (
    node_id     text NOT NULL REFERENCES node,
    sku         text NOT NULL REFERENCES item,
    as_of       timestamptz NOT NULL,
    theirs      bigint NOT NULL,
    compared_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node_id, sku)
);
CREATE INDEX message_in_shipped ON message_in (reference) WHERE type = 'fulfillment.shipped';
