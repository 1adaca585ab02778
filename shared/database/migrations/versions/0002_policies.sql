-- A policy version is what orders began with: its content never changes, only whether new orders begin with it.
CREATE FUNCTION refuse_policy_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'policy version % never changes', OLD.version;
END $$;
CREATE TRIGGER policy_never_changes BEFORE UPDATE OF version, sourcing, process, created_at OR DELETE ON policy_version
    FOR EACH ROW EXECUTE FUNCTION refuse_policy_change();

-- Who made which version the active one. A rollback goes back to what the latest activation of a version replaced.
CREATE TABLE policy_activation (
    activation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT now(),
    version       text NOT NULL REFERENCES policy_version,
    replaced      text NOT NULL REFERENCES policy_version,
    rollback      boolean NOT NULL DEFAULT false,
    actor         text NOT NULL,
    CONSTRAINT changes_something CHECK (version <> replaced)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON policy_activation
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
