"""Who sold labels, and who else would have, drawn for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from workers.cli.output import money, table, when

if TYPE_CHECKING:
    from shared.domain.rate_shopping import RateShop

_COLUMNS = ("label of", "by", "price#", "there by", "promised by", "because", "refused", "others", "no answer")


def rates_compared(found: Iterable[RateShop]) -> Any:
    """A table of choices."""
    return table("rates compared for labels", _COLUMNS, [_row(one) for one in found])


def _row(found: RateShop) -> tuple[object, ...]:
    others = ", ".join(
        f"{one.carrier} {one.service} {money(one.price_minor, found.currency)} by {when(one.delivered_by) or 'never'}"
        for one in found.alternatives
    )
    seller = found.seller
    return (
        found.reference,
        f"{seller.carrier} {seller.service}",
        money(seller.price_minor, found.currency),
        when(seller.delivered_by),
        when(found.deliver_by),
        found.because.replace("_", " "),
        ", ".join(f"{one.carrier} {one.service}: {one.reason}" for one in found.refusals),
        others,
        ", ".join(f"{carrier}: {why}" for carrier, why in found.unanswered.items()),
    )
