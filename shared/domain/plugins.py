"""What packages that are installed beside DOMS bring, found by their entry points.

It is code, as DOMS itself is: it does not change while a process lives.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple


class NoPlugin(Exception):
    """What was named is not there or cannot be loaded; the message says why, and what there is."""


class Plugin(NamedTuple):
    """What a package registered; ``version`` is the package with its version."""

    name: str
    version: str
    value: Any


@lru_cache(maxsize=256)
def plugin(group: str, name: str) -> Plugin:
    """What is registered under this name in this group of entry points.

    Raises:
        NoPlugin: no package brings it, several do, or it cannot be loaded.
    """
    found = list(entry_points(group=group, name=name))
    if not found:
        installed = ", ".join(sorted({entry.name for entry in entry_points(group=group)}))
        raise NoPlugin(f"no {name} of {group} is installed; there are: {installed or 'none'}")
    if len(found) > 1:
        raise NoPlugin(f"{name} of {group} is brought by {' and '.join(sorted(map(_version, found)))}: keep one")
    try:
        return Plugin(name, _version(found[0]), found[0].load())
    except Exception as error:  # importing a package can raise anything
        raise NoPlugin(f"{name} of {group} in {_version(found[0])} cannot be loaded: {error}") from error


def _version(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "an unknown package"
