"""A map of nodes, customers and sites, in pixels: longitude and latitude as they are, narrowed to the middle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import cos, radians, sqrt

from shared.domain.network import Node, Place

_WIDTH, _MARGIN = 860, 40
_LARGEST = 9.0
#: Share of orders on each side that may lie beyond the edge, so that a few islands do not shrink a continent.
_BEYOND = 0.01


@dataclass(frozen=True, slots=True)
class Mark:
    """One place: ``size`` is a radius."""

    x: float
    y: float
    size: float
    text: str


@dataclass(frozen=True, slots=True)
class Map:
    """Customers by area, with the nodes and sites among them."""

    width: int
    height: int
    customers: tuple[Mark, ...]
    nodes: tuple[Mark, ...]
    sites: tuple[Mark, ...]
    centres: tuple[Mark, ...]


def drawn_map(
    customers: Iterable[Place],
    nodes: Sequence[Node],
    *,
    sites: Sequence[tuple[str, Place]] = (),
    centres: Sequence[tuple[float, float]] = (),
) -> Map:
    """Customers are summed by the first three characters of their postal code."""
    areas, where = _areas(customers)
    points = [
        *_most(areas, where),
        *((node.place.latitude, node.place.longitude) for node in nodes),
        *((place.latitude, place.longitude) for _, place in sites),
        *centres,
    ]
    paper = _Paper(points or [(0.0, 0.0)])
    most = max(areas.values(), default=1)
    return Map(
        _WIDTH,
        paper.height,
        tuple(
            paper.mark(*where[name], 1.5 + _LARGEST * sqrt(areas[name] / most), f"{name}: {areas[name]} order(s)")
            for name in sorted(areas)
        ),
        tuple(paper.mark(node.place.latitude, node.place.longitude, 5, node.node_id) for node in nodes),
        tuple(paper.mark(place.latitude, place.longitude, 7, text) for text, place in sites),
        tuple(paper.mark(*centre, 6, "centre of gravity") for centre in centres),
    )


def _areas(customers: Iterable[Place]) -> tuple[Counter[str], dict[str, tuple[float, float]]]:
    """Orders of each area, and where the first of them goes."""
    areas: Counter[str] = Counter()
    where: dict[str, tuple[float, float]] = {}
    for place in customers:
        name = f"{place.country} {place.postal_code[:3]}".strip()
        areas[name] += 1
        where.setdefault(name, (place.latitude, place.longitude))
    return areas, where


def _most(areas: Counter[str], where: dict[str, tuple[float, float]]) -> list[tuple[float, float]]:
    """Two corners of a box that holds nearly all orders."""
    if not areas:
        return []
    sides = [_between([(where[name][axis], areas[name]) for name in areas]) for axis in (0, 1)]
    return list(zip(*sides, strict=True))


def _between(weighed: list[tuple[float, int]]) -> tuple[float, float]:
    """The values below and above which only few orders lie."""
    few = _BEYOND * sum(count for _, count in weighed)

    def first(values: list[tuple[float, int]]) -> float:
        passed = 0
        for value, count in values:
            passed += count
            if passed > few:
                return value
        return values[-1][0]

    return first(sorted(weighed)), first(sorted(weighed, reverse=True))


class _Paper:
    """Fits degrees onto the paper, the same scale both ways; what lies beyond is put at the edge."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        latitudes, longitudes = zip(*points, strict=True)
        self._narrow = cos(radians((min(latitudes) + max(latitudes)) / 2))
        self._top, self._left = max(latitudes), min(longitudes)
        tall = max(max(latitudes) - min(latitudes), 0.5)
        wide = max((max(longitudes) - min(longitudes)) * self._narrow, 0.5)
        self._scale = min((_WIDTH - 2 * _MARGIN) / wide, (_WIDTH - 2 * _MARGIN) / tall)
        self.height = round(tall * self._scale) + 2 * _MARGIN

    def mark(self, latitude: float, longitude: float, size: float, text: str) -> Mark:
        x = _MARGIN + (longitude - self._left) * self._narrow * self._scale
        y = _MARGIN + (self._top - latitude) * self._scale
        at_x, at_y = min(max(x, size), _WIDTH - size), min(max(y, size), self.height - size)
        return Mark(round(at_x, 1), round(at_y, 1), round(size, 1), text)
