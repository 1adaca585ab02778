"""Fixtures every test may ask for, defined in ``tests/support``, and how tests are shared out among processes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.stack", "tests.support.outside"]

# How long an example takes is not what these tests are about, and on a busy machine it says nothing. Where examples
# share a fixture, they are meant to.
PASSED_OVER = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("doms", deadline=None, suppress_health_check=PASSED_OVER)
settings.load_profile("doms")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process, as they share servers, and all that start stacks, which want the same
    ports, in one too."""
    for item in items:
        own_stack = "stack_home" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("stack" if own_stack else item.path.stem))
