"""The main job, on an invented merchant or on a real one's invoices."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from workers.cli.output import Answer

#: The job ran and its result is not what it must be: something is stuck, oversold or not accounted for.
FAILED = 1


async def demo(*, orders: int = 200, seed: int = 7, workers: int = 2, keep: bool = False) -> Answer:
    """Run a toy merchant's day: start the stack, place orders, watch them become parcels, print what became of them.

    Partners reject, stay silent, ship short and answer late; some payments are declined, some stock is missing.
    A stack that is already running is used and left running.

    ```
    doms demo
    doms demo --orders 1000 --seed 3 --keep
    ```

    Parameters
    ----------
    orders: How many orders to place.
    seed: The same seed is the same merchant and the same orders.
    workers: Number of worker processes, when the stack has to be started.
    keep: Leave the stack running afterwards.
    """
    from workers.demo.run import demo as run
    from workers.demo.summary import table_of

    summary = await run(orders=orders, seed=seed, workers=workers, keep=keep)
    return Answer(summary, lambda: table_of(summary), code=0 if summary.sound else FAILED)


async def replay(
    file: Path,
    *,
    limit: int | None = None,
    since: date | None = None,
    seed: int = 7,
    workers: int = 2,
    keep: bool = False,
) -> Answer:
    """Replay a retailer's invoices as orders: the Online Retail file of the UCI repository, or one laid out like it.

    One invoice is one order; a cancelling invoice cancels or returns units of the customer's earlier orders.
    Every row ends in an order, in a cancellation or in a counted refusal. Catalogue and prices are the file's;
    weights, stock, places and the network are constructed from the seed.

    ```
    doms replay online_retail.csv.gz --limit 500
    doms replay online_retail.csv.gz --since 2011-03-01 --limit 200
    ```

    Parameters
    ----------
    file: The CSV file, plain or gzipped.
    limit: Stop after this many invoices.
    since: Skip what was invoiced before this day.
    seed: The same seed constructs the same world.
    workers: Number of worker processes, when the stack has to be started.
    keep: Leave the stack running afterwards.
    """
    from rich.console import Group

    from workers.demo.replay import replay as run
    from workers.demo.summary import table_of

    summary, rows = await run(file, limit=limit, since=since, seed=seed, workers=workers, keep=keep)
    sound = summary.sound and summary.extra["adds_up"]
    return Answer(summary, lambda: Group(rows, table_of(summary)), code=0 if sound else FAILED)
