"""A package of criteria and a connector, found through the path it lies on as an installed one is."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.domain.plugins import plugin

#: What has to be on ``sys.path`` for the package to be installed.
PATH = str(Path(__file__).parent)


@contextmanager
def installed() -> Iterator[None]:
    """The package is installed here, and gone again after."""
    sys.path.insert(0, PATH)
    importlib.invalidate_caches()
    plugin.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(PATH)
        plugin.cache_clear()
