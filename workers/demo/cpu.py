"""What a running stack costs: CPU seconds of each of its programs, children included."""

from __future__ import annotations

from collections.abc import Mapping

import psutil

from shared.settings import Settings
from workers.stack import status

#: The components whose work an order is; the rest of the stack plays the outside world.
OURS = ("worker", "temporal", "postgres", "api")


def cpu_seconds(settings: Settings) -> dict[str, float]:
    """User and system seconds so far by kind of component: ``worker-1`` and ``worker-2`` are ``worker``."""
    spent: dict[str, float] = {}
    for name, component in status(settings).components.items():
        if component.pid:
            kind = name.rstrip("0123456789").rstrip("-")
            spent[kind] = spent.get(kind, 0.0) + _tree_seconds(component.pid)
    return spent


def _tree_seconds(pid: int) -> float:
    try:
        process = psutil.Process(pid)
        own = process.cpu_times()
        ended = own.children_user + own.children_system
        living = sum(_own_seconds(child) for child in process.children(recursive=True))
        return float(own.user + own.system + ended + living)
    except psutil.NoSuchProcess:
        return 0.0


def _own_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
        return float(times.user + times.system)
    except psutil.NoSuchProcess:
        return 0.0


def per_order_ms(before: Mapping[str, float], after: Mapping[str, float], orders: int) -> dict[str, float]:
    """Milliseconds an order by component. A component that was restarted in between counts from its restart."""
    return {
        kind: round(max(seconds - before.get(kind, 0.0), 0.0) * 1000 / max(orders, 1), 1)
        for kind, seconds in sorted(after.items())
    }
