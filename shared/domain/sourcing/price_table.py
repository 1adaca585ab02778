"""What many weights cost by many tariffs, in arrays of 64-bit integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.domain.sourcing.freight import Tariff

Ints = NDArray[np.int64]


def prices(tariffs: Sequence[Tariff], grams: Ints) -> Ints:
    """Price of every weight, in a column, by every tariff, in a row; short tariffs repeat their last break."""
    width = max(len(tariff.up_to) for tariff in tariffs)
    up_to = np.array([tariff.up_to + tariff.up_to[-1:] * (width - len(tariff.up_to)) for tariff in tariffs])
    price = np.array([tariff.price + tariff.price[-1:] * (width - len(tariff.price)) for tariff in tariffs])
    if int(up_to[:, -1].min()) >= int(grams.max()):
        return _break_price(up_to, price, np.broadcast_to(grams, (len(tariffs), len(grams))))
    full, rest = np.divmod(grams - 1, up_to[:, -1:])
    found: Ints = _break_price(up_to, price, rest + 1) + full * price[:, -1:]
    return found


def _break_price(up_to: Ints, price: Ints, grams: Ints) -> Ints:
    found = np.zeros(grams.shape, dtype=np.int64)
    for column in range(up_to.shape[1] - 1):
        found += grams > up_to[:, column : column + 1]
    prices: Ints = np.take_along_axis(price, found, axis=1)
    return prices
