-- Carriers that price by zone, not by distance: which zone a parcel between two areas is in. An area is the first
-- three characters of a postal code. Where nothing is said, distance decides.
ALTER TABLE service_rate ADD COLUMN zone int NOT NULL DEFAULT 0 CHECK (zone >= 0);

CREATE TABLE carrier_zone (
    carrier     text NOT NULL REFERENCES partner,
    origin      text NOT NULL CHECK (length(origin) = 3),
    destination text NOT NULL CHECK (length(destination) = 3),
    zone        int NOT NULL CHECK (zone > 0),
    PRIMARY KEY (carrier, origin, destination)
);
CREATE TRIGGER zone_changed AFTER INSERT OR UPDATE OR DELETE ON carrier_zone
    FOR EACH STATEMENT EXECUTE FUNCTION bump_network_version();
