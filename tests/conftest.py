"""Fixtures every test may ask for; they are defined in ``tests/support`` and listed here."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.stack", "tests.support.outside"]

# How long an example takes is not what these tests are about, and on a busy machine it says nothing. Where examples
# share a fixture, they are meant to.
PASSED_OVER = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("doms", deadline=None, suppress_health_check=PASSED_OVER)
settings.load_profile("doms")
