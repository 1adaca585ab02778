"""The programs of the stack, as the supervisor and the containers start them. Each runs until it is told to stop."""

from __future__ import annotations

import asyncio
import inspect
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from shared.settings import Settings
from workers.connect import joined, sandbox_database, settings_in_effect
from workers.sandbox.config import Behaviour, Pace, Rates, SandboxConfig

Queue = Literal["orders", "planning"]
_WORKERS: dict[Queue, str] = {
    "orders": "workers.main:run_worker",
    "planning": "workers.planning:run_planning_worker",
}
_DEFAULT_PACE, _DEFAULT_RATES = Pace(), Rates()


def start(program: str, *arguments: Any, **options: Any) -> None:
    """Import ``module:function`` now and run it to its end."""
    module, _, function = program.partition(":")
    result = getattr(import_module(module), function)(*arguments, **options)
    if inspect.iscoroutine(result):
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(result)


def _new_loop() -> asyncio.AbstractEventLoop:
    """The faster loop where there is one: half of what these programs do is to wait on sockets."""
    try:
        import uvloop
    except ImportError:  # Windows has none
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def migrate() -> None:
    """Bring the database's schema, Temporal's search attributes and the schedules up to date. Safe to repeat.

    ```
    DOMS_DATABASE_URL=postgresql://… DOMS_TEMPORAL_ADDRESS=temporal:7233 doms migrate
    ```
    """
    start("workers.bootstrap:bootstrap", settings_in_effect())


def worker(*, queue: Queue = "orders") -> None:
    """Run one worker process. Scale is more of them; each finishes what it has begun when it is stopped.

    Prices of what may run short need a solver, which would stand in the way of orders: they have a queue of their
    own, and one process for it is enough. Without it orders are planned as if there were no prices.

    ```
    doms worker
    doms worker --queue planning
    ```

    Args:
        queue: What it works on: orders, with everything scheduled that serves them, or planning.
    """
    start(_WORKERS[queue], settings_in_effect())


def api(*, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Serve the HTTP API, the partners' inbox and the console.

    ```
    doms api --host 0.0.0.0 --port 8080
    ```

    Args:
        host: Address to listen on.
        port: Port to listen on.
    """
    start("workers.api.app:serve", settings_in_effect(), host=host, port=port)


def sandbox(
    *,
    host: str = "127.0.0.1",
    port: int = 8090,
    seed: int = 0,
    pace: Pace = _DEFAULT_PACE,
    rates: Rates = _DEFAULT_RATES,
    behaviours: dict[str, Behaviour] | None = None,
    database: Path | None = None,
) -> None:
    """Play every outside party: nodes, carriers, payment provider. They keep their own log of what they did.

    ```
    doms sandbox --rates.reject 0.05 --pace.transit 2 --behaviours.wh-columbus silent
    ```

    Args:
        host: Address to listen on.
        port: Port to listen on.
        seed: The same seed and the same orders meet the same world.
        pace: How long things take, in seconds.
        rates: How often the world is not as one would like, from 0 to 1.
        behaviours: What a node always does.
        database: Where they keep their log; in the stack's home when left out.
    """
    settings = joined(Settings())
    database = database or sandbox_database(settings)
    database.parent.mkdir(parents=True, exist_ok=True)
    config = SandboxConfig(
        api_url=settings.api_url,
        partner_key=settings.partner_key,
        database=database,
        seed=seed,
        pace=pace,
        rates=rates,
        behaviours=behaviours or {},
    )
    start("workers.sandbox.app:serve", config, host, port)
