"""What a channel may sell, and what of it has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from workers.cli.output import Answer, table, when
from workers.connect import doms_client

if TYPE_CHECKING:
    from shared.database.availability import Available, Changes
    from shared.database.in_stock import InStockVersion
    from shared.database.publishing import Publication


async def available(
    *skus: str, channel: str, all_: Annotated[bool, Parameter(name="--all", negative="")] = False
) -> Answer:
    """Tell how many units of items a channel may sell: what is free at its nodes, shaped by its allocation.

    Available is what is there now. What the channel may sell of supply that is to come, by `doms stock in-stock`, is
    told apart with its dates; orderable is both. The version is where `doms stock changes` goes on from.

    ```
    doms stock available --channel webshop TRN-1001 KIT-1007
    doms --json stock available --channel webshop --all
    doms --json stock available --channel webshop TRN-1001 | jq '.items[] | {available, coming, orderable}'
    ```

    Args:
        skus: The items.
        channel: The channel; one that is not configured sells from every node that ships.
        all_: Every item.
    """
    from shared.errors import Fault, InvalidInput

    if bool(skus) == all_:
        raise InvalidInput([Fault(pointer="/skus", code="missing", message="name items, or say --all")])
    async with doms_client() as doms:
        answer = await doms.availability(channel, None if all_ else skus)
    title = f"{channel} may sell, version {answer.version}"
    return Answer(answer, show=lambda: _shown(title, answer.items))


async def changes(*, channel: str, after: int = 0, limit: int = 1000) -> Answer:
    """Tell what a channel may sell of the items that changed since a version, each once.

    The changes of one transaction come together, so that there may be more than the limit.

    ```
    doms --json stock changes --channel webshop --after 10482
    ```

    Args:
        channel: The channel.
        after: The version of the last answer.
        limit: About how many items at once.
    """
    from shared.errors import Fault, InvalidInput

    if limit < 1 or after < 0:
        raise InvalidInput([Fault(pointer="/limit", code="too_small", message="--limit from 1, --after from 0")])
    async with doms_client() as doms:
        answer = await doms.availability_changes(channel, after, limit)
    return Answer(answer, show=lambda: _shown(_title(answer), answer.items))


async def publications() -> Answer:
    """Tell where every channel stands that is told what it may sell: its latest update, and whether it has it.

    A channel is told once it names a partner of kind `channel` in `doms load channels`. The lag is the time from the
    oldest change in the latest confirmed update to its confirmation, in seconds.

    ```
    doms stock publications
    ```
    """
    from shared.database.publishing import read_publications

    async with doms_client() as doms, doms.database.reading() as connection:
        found = await read_publications(connection)
    return Answer(found, show=lambda: _publications(found))


async def in_stock(channel: str = "") -> Answer:
    """Show what channels count as in stock: suppliers' stock, supply that is to come, and the fewest units shown.

    Versions are added by `doms load in_stock` and never change; of those that have taken effect the latest counts. A
    channel without one counts suppliers' stock and nothing that is to come. Where orders ship from is not decided here.

    ```
    doms load in_stock --template > in_stock.csv
    doms load in_stock in_stock.csv --actor mia
    doms stock in-stock webshop
    ```

    Args:
        channel: Only this channel.
    """
    from shared.database.in_stock import read_versions

    async with doms_client() as doms, doms.database.reading() as connection:
        found = await read_versions(connection, channel)
    return Answer(found, show=lambda: _versions(found))


def _versions(found: list[InStockVersion]) -> Any:
    columns = ("", "channel", "version#", "from", "suppliers' stock", "days ahead#", "threshold#", "by", "written")
    rows = [
        ("counts" if v.in_effect else "", v.channel, v.version, when(v.effective_at),
         "counts" if v.counts_supplier else "does not count", v.future_days, v.threshold, v.actor, when(v.at))
        for v in found
    ]  # fmt: skip
    return table("what channels count as in stock", columns, rows)


def _publications(found: list[Publication]) -> Any:
    rows = [
        (
            each.channel,
            each.partner_id,
            each.sequence,
            when(each.told_at),
            "" if each.lag is None else f"{each.lag:.1f}",
            each.items,
            each.units,
            each.fault or ("waits for its receipt" if each.waiting else ""),
        )
        for each in found
    ]
    columns = ("channel", "partner", "update#", "told at", "lag s#", "items#", "units#", "")
    return table("what channels were told they may sell", columns, rows)


def _title(answer: Changes) -> str:
    if answer.reload:
        read_all = f"doms stock available --channel {answer.channel} --all"
        return f"every item may have changed: read them all again with `{read_all}`"
    more = ", and there is more" if answer.more else ""
    return f"{len(answer.items)} item(s) changed; go on with --after {answer.version}{more}"


def _shown(title: str, items: tuple[Available, ...]) -> Any:
    rows = [(item.sku, item.available, _coming(item), "" if item.known else "no such item") for item in items]
    return table(title, ("item", "available#", "to come", ""), rows)


def _coming(item: Available) -> str:
    return ", ".join(f"{more.units} by {when(more.at)}" for more in item.coming)
