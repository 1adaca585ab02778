"""A catalogue of children's toys that do not exist."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from shared.domain.catalogue import Item


class Toy(NamedTuple):
    """An item and who makes it."""

    item: Item
    vendor: str


class _Family(NamedTuple):
    """A kind of toy: names are ``{theme} {noun}``; weight, sides and price are of the smallest one."""

    code: str
    vendor: str
    nouns: tuple[str, ...]
    weight_g: int
    sides_mm: tuple[int, int, int]
    price_minor: int


class _Design(NamedTuple):
    family: _Family
    noun: str
    theme: str
    edition: int


_THEMES = ("Forest", "Farmyard", "Ocean", "Dinosaur", "Space", "Circus", "Arctic", "Garden", "Castle", "Jungle", "City")

_FAMILIES = (
    _Family(
        "TRN", "vnd-alder", ("Wooden Train Set", "Wooden Push Train", "Track Extension"), 900, (380, 240, 90), 2999
    ),
    _Family(
        "BLK", "vnd-alder", ("Building Blocks, 40 pieces", "Stacking Rings", "Shape Sorter"), 750, (250, 250, 120), 1899
    ),
    _Family("DOL", "vnd-alder", ("Dollhouse", "Dollhouse Furniture", "Dollhouse Family"), 1400, (420, 300, 150), 3499),
    _Family(
        "PUZ", "vnd-northloop", ("Jigsaw, 48 pieces", "Jigsaw, 200 pieces", "Floor Puzzle"), 420, (280, 200, 55), 1299
    ),
    _Family("GAM", "vnd-northloop", ("Memory Game", "Dice Race Game", "Card Game"), 360, (200, 150, 50), 1599),
    _Family(
        "PLU",
        "vnd-maple",
        ("Plush Bear", "Plush Rabbit", "Hand Puppet", "Night-Light Plush"),
        310,
        (300, 220, 160),
        2199,
    ),
    _Family(
        "KIT", "vnd-blueridge", ("Diamond Kite", "Box Kite", "Bubble Wand", "Paper Glider"), 240, (700, 120, 60), 1499
    ),
    _Family(
        "SCI",
        "vnd-frontrange",
        ("Crystal Kit", "Magnet Lab", "Solar Robot Kit", "Junior Microscope"),
        680,
        (300, 220, 90),
        2699,
    ),
    _Family(
        "ART",
        "vnd-millrace",
        ("Crayon Box", "Finger Paint Set", "Sticker Studio", "Modelling Clay"),
        450,
        (260, 190, 50),
        999,
    ),
    _Family("MUS", "vnd-cumberland", ("Xylophone", "Tambourine", "Ukulele", "Shaker Pair"), 560, (400, 160, 80), 2399),
)


def make_toys(rng: Random, count: int = 400) -> tuple[Toy, ...]:
    """The first ``count`` toys: every family, noun, theme and edition in turn, so that any count is varied."""
    designs = [
        _Design(family, noun, theme, edition)
        for edition in range(1, 3)
        for theme in _THEMES
        for rank in range(4)
        for family in _FAMILIES
        for noun in family.nouns[rank : rank + 1]
    ]
    if count > len(designs):
        raise ValueError(f"there are {len(designs)} designs, not {count}")
    return tuple(_toy(rng, number, design) for number, design in enumerate(designs[:count], start=1))


def _toy(rng: Random, number: int, design: _Design) -> Toy:
    family = design.family
    size = rng.choice((100, 100, 115, 130, 160))
    price = _charm(family.price_minor * size * rng.randint(80, 125) // 10_000)
    length, width, height = (side * size // 100 for side in family.sides_mm)
    item = Item(
        sku=f"{family.code}-{1000 + number}",
        name=f"{design.theme} {design.noun}" + (", deluxe" if design.edition == 2 else ""),
        weight_g=family.weight_g * size * size // 10_000 * rng.randint(85, 120) // 100,
        length_mm=length,
        width_mm=width,
        height_mm=height,
        price_minor=price,
        cost_minor=price * rng.randint(38, 55) // 100,
    )
    return Toy(item, family.vendor)


def _charm(cents: int) -> int:
    """The price a shop would print: so many dollars and 99 cents."""
    return max(1, (cents + 50) // 100) * 100 - 1
