"""The demo and the replay of real invoices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workers.cli.run import start


def demo(*, orders: int = 200, seed: int = 7, workers: int = 2, keep: bool = False) -> None:
    """Start the stack, send a retailer's day of orders through it, break a few things, and print the summary.

    ```
    doms demo
    doms demo --orders 1000 --seed 3 --keep
    ```

    Args:
        orders: How many orders to place.
        seed: The same seed is the same day.
        workers: Number of worker processes, when the stack has to be started.
        keep: Leave the stack running afterwards.
    """
    options: dict[str, Any] = {"orders": orders, "seed": seed, "workers": workers, "keep": keep}
    start("workers.demo.run:demo", **options)


def replay(file: Path, *, limit: int | None = None) -> None:
    """Run a retailer's invoices through the system as orders: the Online Retail CSV or one like it.

    ```
    doms replay online_retail.csv --limit 500
    ```

    Args:
        file: The CSV file.
        limit: Stop after this many orders.
    """
    start("workers.demo.run:replay", file, limit=limit)
