"""Distances on the globe, in kilometres."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt

from shared.domain.network import Place

#: Mean radius of the earth.
EARTH_KM = 6371.0088


def distance_km(one: Place, other: Place) -> float:
    """Great-circle distance (haversine)."""
    north, south = radians(one.latitude), radians(other.latitude)
    half_lat = sin((south - north) / 2)
    half_lon = sin(radians(other.longitude - one.longitude) / 2)
    chord = half_lat * half_lat + cos(north) * cos(south) * half_lon * half_lon
    return 2 * EARTH_KM * asin(min(1.0, sqrt(chord)))
