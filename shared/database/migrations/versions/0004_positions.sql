-- What of a position somebody new may take. The database works it out, so that no two readers do it differently.
-- held:         units of carts, until they are ordered or their time is up
-- quarantined:  units that are there, but not in on_hand: damaged or not inspected yet
-- count_buffer: units not sold because counts at this node were often wrong
-- feed_buffer:  units not sold because of how, or how long ago, the source last counted
ALTER TABLE stock_position
    ADD COLUMN held         bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    ADD COLUMN quarantined  bigint NOT NULL DEFAULT 0 CHECK (quarantined >= 0),
    ADD COLUMN count_buffer bigint NOT NULL DEFAULT 0 CHECK (count_buffer >= 0),
    ADD COLUMN feed_buffer  bigint NOT NULL DEFAULT 0 CHECK (feed_buffer >= 0),
    DROP CONSTRAINT never_oversold,
    ADD CONSTRAINT never_oversold CHECK (0 <= reserved AND reserved + held <= on_hand);
ALTER TABLE stock_position ADD COLUMN free bigint NOT NULL GENERATED ALWAYS AS (
    greatest(on_hand - reserved - held - safety - count_buffer - feed_buffer, 0)) STORED;

CREATE TRIGGER buffer_changed AFTER UPDATE OF count_buffer, feed_buffer ON stock_position
    FOR EACH ROW WHEN (OLD.count_buffer <> NEW.count_buffer OR OLD.feed_buffer <> NEW.feed_buffer)
    EXECUTE FUNCTION note_availability();

-- hold: a cart takes units. expire: it gives them back. count: a cycle count. feed: a source's own figure.
-- quarantine: units leave or enter on_hand from quarantine. transfer: units leave for, or arrive from, another node.
ALTER TABLE stock_move
    ADD COLUMN held        bigint NOT NULL DEFAULT 0,
    ADD COLUMN quarantined bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT stock_move_cause_check,
    ADD CONSTRAINT stock_move_cause_check CHECK (cause IN (
        'receive', 'reserve', 'release', 'ship', 'restock', 'write_off', 'adjust',
        'hold', 'expire', 'count', 'feed', 'quarantine', 'transfer')),
    DROP CONSTRAINT moves_something,
    ADD CONSTRAINT moves_something CHECK (
        on_hand <> 0 OR reserved <> 0 OR held <> 0 OR quarantined <> 0 OR cause = 'write_off');
