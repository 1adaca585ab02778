"""What carriers say parcels cost, and until when.

An account is asked for quotes once `quotes` is true for it (`doms load partners FILE.csv`). What orders and carts are
planned for is asked about again before its quotes end; where nothing is quoted, plans go by the rate card. When a
parcel is packed, every such account is asked about it, and who keeps the promise for least sells the label, or where
that one refuses the next: `doms orders show` tells the choice, and who refused.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cyclopts import App

from workers.cli.output import Answer, money, table, when
from workers.connect import doms_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.domain.quotes import LaneQuote

app = App(name="quotes", help=__doc__)


@app.command(name="list")
async def list_(*, node: str = "", limit: int = 200) -> Answer:
    """List the quotes that plans go by now; one that has expired is none.

    A quote is for parcels of at most so many grams, a step of the card's weights, from a node to an area: a country and
    the first three characters of the postal code. `days` are working days from hand-over.

    ```
    doms quotes list --node wh-columbus
    doms --json quotes list | jq 'group_by(.carrier) | map({(.[0].carrier): length}) | add'
    ```

    Args:
        node: Only from this node.
        limit: At most so many.
    """
    from shared.database import quotes

    async with doms_client() as doms, doms.database.reading() as connection:
        found = await quotes.list_quotes(connection, node_id=node, as_of=datetime.now(UTC), limit=limit)
        carriers = await quotes.read_quoting(connection)
    return Answer(found, show=lambda: _shown(found, carriers))


def _shown(found: Sequence[LaneQuote], carriers: Sequence[str]) -> Any:
    asked = f"asked: {', '.join(carriers)}" if carriers else "no carrier is asked (`doms quotes --help`)"
    columns = ("from", "to", "up to g#", "by", "price#", "days#", "until", "quote")
    rows = [
        (
            one.node_id,
            one.destination,
            one.weight_g,
            f"{one.carrier} {one.service}",
            money(one.price_minor, one.currency),
            one.transit_days,
            when(one.expires_at),
            one.quote_id,
        )
        for one in found
    ]
    return table(f"{len(found)} quote(s); {asked}", columns, rows)
