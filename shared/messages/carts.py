"""What a sweep of overdue carts starts with and comes to."""

from __future__ import annotations

from shared.domain.base import Instant, Model


class CartSweepInput(Model):
    """A scheduled sweep of the carts whose time is up."""


class CartSweepStep(Model):
    """The sweep, as of the moment it began."""

    as_of: Instant


class CartSweepResult(Model):
    """What was given back.

    Attributes:
        items: Items of which units were given back.
        orders_woken: Orders that wait for them.
    """

    items: int = 0
    orders_woken: int = 0
