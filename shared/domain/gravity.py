"""Centres of gravity of demand on the sphere: where nodes would stand if distance alone mattered.

Each centre is the geometric median of the customers nearest to it, found by Weiszfeld's iteration in the
tangent plane (Fletcher, Venkatasubramanian and Joshi, "The geometric median on Riemannian manifolds", 2009).
Centres begin at the customers a greedy p-median picks, so that the same demand always gives the same centres.
They are a local optimum, and may lie in a lake: for places that exist see ``locating``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.domain.geo import EARTH_KM
from shared.domain.median import greedy

Floats = NDArray[np.float64]
_ROUNDS, _STEPS = 60, 60


def on_sphere(degrees: Floats) -> Floats:
    """Rows of (latitude, longitude) in degrees as unit vectors."""
    latitude, longitude = np.radians(degrees).T
    return np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=1
    )


def kilometres(one: Floats, other: Floats) -> Floats:
    """Great-circle distances between the rows of two arrays of unit vectors."""
    chord: Floats = np.linalg.norm(one[:, None, :] - other[None, :, :], axis=2)
    distances: Floats = 2 * EARTH_KM * np.arcsin(np.minimum(chord / 2, 1.0))
    return distances


def centres(degrees: Floats, weights: Floats, count: int) -> tuple[Floats, float]:
    """``count`` centres as (latitude, longitude), and the mean distance to the nearest of them, by weight.

    Args:
        degrees: Customers as (latitude, longitude), at least ``count`` different ones.
        weights: Demand of each, positive.
    """
    points = on_sphere(degrees)
    metres = np.rint(kilometres(points, points) * weights * 1000).astype(np.int64)
    found = points[list(greedy(metres, count, ()))].copy()
    nearest = np.full(len(points), -1)
    for _ in range(_ROUNDS):
        before, nearest = nearest, kilometres(points, found).argmin(axis=1)
        if (before == nearest).all():
            break
        for index in range(count):
            mine = nearest == index
            if mine.any():
                found[index] = _median(points[mine], weights[mine])
    mean = float(np.average(kilometres(points, found).min(axis=1), weights=weights))
    latitude, longitude = np.degrees(np.arcsin(found[:, 2])), np.degrees(np.arctan2(found[:, 1], found[:, 0]))
    return np.stack([latitude, longitude], axis=1), mean


def _median(points: Floats, weights: Floats) -> Floats:
    centre: Floats = weights @ points
    centre /= np.linalg.norm(centre)
    for _ in range(_STEPS):
        cosines = np.clip(points @ centre, -1.0, 1.0)
        angles = np.arccos(cosines)
        near = np.maximum(angles, 1e-9)
        directions = (points - cosines[:, None] * centre) / np.maximum(np.sin(near), 1e-9)[:, None]
        pull = weights / near
        step = (pull * near) @ directions / pull.sum()
        length = float(np.linalg.norm(step))
        if length < 1e-9:
            break
        centre = np.cos(length) * centre + np.sin(length) * step / length
    return centre
