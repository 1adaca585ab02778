"""What many weights cost by many tariffs, in arrays of 64-bit integers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.domain.sourcing.freight import Tariff

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def prices(tariffs: tuple[Tariff, ...], grams: Ints) -> Ints:
    """Price of every weight, in a column, by every tariff, in a row."""
    up_to, price = _steps(tariffs)
    if int(up_to[:, -1].min()) >= int(grams.max()):
        return _break_price(up_to, price, np.broadcast_to(grams, (len(tariffs), len(grams))))
    full: Ints = (grams - 1) // up_to[:, -1:]
    return _break_price(up_to, price, grams - full * up_to[:, -1:]) + full * price[:, -1:]


@lru_cache(maxsize=256)
def least_prices(tariffs: tuple[Tariff, ...]) -> tuple[Floats, Ints]:
    """What a gram, and what a parcel, costs at least by every tariff, in a row of its own."""
    grams = np.array([[tariff.least_per_gram()] for tariff in tariffs])
    return grams, np.array([[tariff.price[0]] for tariff in tariffs])


@lru_cache(maxsize=256)
def _steps(tariffs: tuple[Tariff, ...]) -> tuple[Ints, Ints]:
    """Weights and prices of every tariff, in a row; short ones repeat their last break."""
    width = max(len(tariff.up_to) for tariff in tariffs)
    up_to = [tariff.up_to + tariff.up_to[-1:] * (width - len(tariff.up_to)) for tariff in tariffs]
    price = [tariff.price + tariff.price[-1:] * (width - len(tariff.price)) for tariff in tariffs]
    return np.array(up_to), np.array(price)


def _break_price(up_to: Ints, price: Ints, grams: Ints) -> Ints:
    found = np.zeros(grams.shape, dtype=np.int64)
    for column in range(up_to.shape[1] - 1):
        found += grams > up_to[:, column : column + 1]
    prices: Ints = np.take_along_axis(price, found, axis=1)
    return prices
