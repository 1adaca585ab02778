"""Distances on the globe, in kilometres."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt
from typing import NamedTuple

from shared.domain.network import Place

#: Mean radius of the earth.
EARTH_KM = 6371.0088


class Spot(NamedTuple):
    """A place, ready to be measured from many others.

    Attributes:
        north: Radians, and its cosine.
        east: Degrees.
    """

    north: float
    cosine: float
    east: float


def spot(place: Place) -> Spot:
    north = radians(place.latitude)
    return Spot(north, cos(north), place.longitude)


def between_km(one: Spot, other: Spot) -> float:
    """Great-circle distance (haversine)."""
    half_lat = sin((other.north - one.north) / 2)
    half_lon = sin(radians(other.east - one.east) / 2)
    chord = half_lat * half_lat + one.cosine * other.cosine * half_lon * half_lon
    return 2 * EARTH_KM * asin(min(1.0, sqrt(chord)))


def distance_km(one: Place, other: Place) -> float:
    """Great-circle distance between two places."""
    return between_km(spot(one), spot(other))
