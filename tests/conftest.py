"""Fixtures every test may ask for; they are defined in ``tests/support`` and listed here."""

from __future__ import annotations

pytest_plugins = ["tests.support.stack", "tests.support.outside"]
