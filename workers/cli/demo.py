"""The main job, on an invented merchant or on a real one's invoices."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from workers.cli.run import start


def demo(*, orders: int = 200, seed: int = 7, workers: int = 2, keep: bool = False, as_json: bool = False) -> None:
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
    as_json: Print the summary as one JSON object on the last line of standard output.
    """
    options: dict[str, Any] = {"orders": orders, "seed": seed, "workers": workers, "keep": keep, "json": as_json}
    start("workers.demo.run:demo", **options)


def replay(
    file: Path,
    *,
    limit: int | None = None,
    since: date | None = None,
    seed: int = 7,
    workers: int = 2,
    keep: bool = False,
    as_json: bool = False,
) -> None:
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
    as_json: Print the summary as one JSON object on the last line of standard output.
    """
    options: dict[str, Any] = {"limit": limit, "since": since, "seed": seed, "workers": workers, "keep": keep}
    start("workers.demo.replay:replay", file, json=as_json, **options)
