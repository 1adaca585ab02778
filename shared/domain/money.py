"""Money as integer minor units. Nothing here ever loses or makes a cent."""

from __future__ import annotations

from collections.abc import Sequence


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """Split ``total`` minor units in proportion to ``weights``; the parts add up to ``total`` exactly.

    Largest-remainder method: every part is the floor of its share, and the units left over go to the
    largest remainders, the earlier part first on a tie. All-zero weights share equally.

    Args:
        total: Minor units to share out, zero or more.
        weights: One non-negative weight per part, at least one part.

    Raises:
        ValueError: no part, a negative weight or a negative total.
    """
    if not weights or total < 0 or min(weights) < 0:
        raise ValueError("allocate needs a total of zero or more and at least one weight, none negative")
    shares = list(weights) if any(weights) else [1] * len(weights)
    whole = sum(shares)
    parts = [total * share // whole for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda i: (-(total * shares[i] % whole), i))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts
