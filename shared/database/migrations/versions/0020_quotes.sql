-- What carriers say a parcel costs, and until when. Which accounts are asked is said of the partner.
ALTER TABLE partner
    ADD COLUMN quotes boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT only_carriers_quote CHECK (kind = 'carrier' OR NOT quotes);
CREATE TRIGGER partner_changed AFTER INSERT OR UPDATE OR DELETE ON partner
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();

-- The latest price of each service from a node to an area, for parcels of a step of weight. Never used once expired.
CREATE TABLE carrier_quote (
    destination  text NOT NULL CHECK (destination <> ''),
    node_id      text NOT NULL REFERENCES node,
    carrier      text NOT NULL REFERENCES partner,
    service      text NOT NULL,
    weight_g     int NOT NULL CHECK (weight_g > 0),
    quote_id     text NOT NULL,
    price_minor  bigint NOT NULL CHECK (price_minor >= 0),
    currency     text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    transit_days int NOT NULL CHECK (transit_days >= 0),
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (destination, node_id, carrier, service, weight_g)
);
CREATE INDEX carrier_quote_expired ON carrier_quote (expires_at);

-- What plans could go by at any moment of the last weeks: one row for as long as the same was quoted without a gap.
CREATE TABLE quote_span (
    destination  text NOT NULL,
    node_id      text NOT NULL REFERENCES node,
    carrier      text NOT NULL REFERENCES partner,
    service      text NOT NULL,
    weight_g     int NOT NULL,
    begins       timestamptz NOT NULL,
    ends         timestamptz NOT NULL,
    quote_id     text NOT NULL,
    price_minor  bigint NOT NULL,
    currency     text NOT NULL,
    transit_days int NOT NULL,
    PRIMARY KEY (destination, node_id, carrier, service, weight_g, begins)
);
CREATE INDEX quote_span_ended ON quote_span (ends);

-- The row of carrier_quote is locked, so spans of one service never overlap.
CREATE FUNCTION note_quote() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    at timestamptz := clock_timestamp();
    last quote_span%ROWTYPE;
BEGIN
    SELECT * INTO last FROM quote_span s
    WHERE (s.destination, s.node_id, s.carrier, s.service, s.weight_g)
        = (NEW.destination, NEW.node_id, NEW.carrier, NEW.service, NEW.weight_g)
    ORDER BY s.begins DESC LIMIT 1;
    IF last.ends >= at AND (last.price_minor, last.currency, last.transit_days)
                         = (NEW.price_minor, NEW.currency, NEW.transit_days) THEN
        UPDATE quote_span s SET ends = NEW.expires_at, quote_id = NEW.quote_id
        WHERE (s.destination, s.node_id, s.carrier, s.service, s.weight_g, s.begins)
            = (last.destination, last.node_id, last.carrier, last.service, last.weight_g, last.begins);
    ELSE
        UPDATE quote_span s SET ends = at
        WHERE (s.destination, s.node_id, s.carrier, s.service, s.weight_g, s.begins)
            = (last.destination, last.node_id, last.carrier, last.service, last.weight_g, last.begins) AND s.ends > at;
        INSERT INTO quote_span
        SELECT NEW.destination, NEW.node_id, NEW.carrier, NEW.service, NEW.weight_g, at, NEW.expires_at, NEW.quote_id,
               NEW.price_minor, NEW.currency, NEW.transit_days
        WHERE NEW.expires_at > at;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER quote_noted AFTER INSERT OR UPDATE ON carrier_quote FOR EACH ROW EXECUTE FUNCTION note_quote();

-- What plans would have asked carriers lately: their quotes are kept fresh.
CREATE TABLE quote_lane (
    carrier     text NOT NULL REFERENCES partner,
    node_id     text NOT NULL REFERENCES node,
    destination text NOT NULL CHECK (destination <> ''),
    weight_g    int NOT NULL CHECK (weight_g > 0),
    country     text NOT NULL,
    postal_code text NOT NULL,
    asked_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (carrier, node_id, destination, weight_g)
);
CREATE INDEX quote_lane_asked ON quote_lane (asked_at);

-- Who sells a parcel's label. A row is there before anything is bought, and nothing is bought before it is chosen:
-- what was quoted, by whom not, and why this one. A choice stands for good, and who refused to sell after it is only
-- added; a label without a row is the plan's.
CREATE TABLE rate_shop (
    reference    text PRIMARY KEY,
    order_id     text NOT NULL REFERENCES orders,
    opened_at    timestamptz NOT NULL DEFAULT now(),
    chosen_at    timestamptz,
    weight_g     int CHECK (weight_g >= 0),
    deliver_by   timestamptz,
    carrier      text,
    service      text,
    quote_id     text,
    price_minor  bigint CHECK (price_minor >= 0),
    currency     text,
    delivered_by timestamptz,
    because      text,
    offers       jsonb,
    unanswered   jsonb,
    refusals     jsonb NOT NULL DEFAULT '[]',
    CONSTRAINT chosen_whole CHECK (
        num_nonnulls(chosen_at, weight_g, deliver_by, carrier, service, quote_id, currency, because, offers, unanswered)
            IN (0, 10))
);
CREATE INDEX rate_shop_order ON rate_shop (order_id);
CREATE TRIGGER chosen_once BEFORE UPDATE ON rate_shop
    FOR EACH ROW WHEN (
        old.chosen_at IS NOT NULL
        AND (to_jsonb(new) - 'refusals' <> to_jsonb(old) - 'refusals'
             OR jsonb_array_length(new.refusals) <> jsonb_array_length(old.refusals) + 1))
    EXECUTE FUNCTION refuse_change();
