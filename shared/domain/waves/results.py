"""What became of a wave, as people and programs read it."""

from __future__ import annotations

from shared.domain.base import Instant, Model


class GroupFate(Model):
    """What became of a group of a wave's orders.

    Attributes:
        saved_minor: What moving them saves.
        outcome: ``moved``, or why it was refused; ``None`` while nobody has come to it.
        because: Of a refusal.
    """

    number: int
    order_ids: tuple[str, ...]
    saved_minor: int
    outcome: str | None
    because: str


class WaveSummary(Model):
    """A wave's figures, in minor units as each order's policy weighs costs.

    Attributes:
        seconds: What planning took.
        before_minor, after_minor: Cost of all orders as they stood and as planned.
        saved_minor: What the groups saved that were moved.
        moved, refused: Orders; the rest of the wave stands as it stood.
        shared_parcels: Parcels of several orders that were formed.
        open: Orders of groups that nobody has come to.
    """

    wave_id: str
    channel: str
    started_at: Instant
    seconds: float
    orders: int
    frozen: int
    before_minor: int
    after_minor: int
    bound_minor: int
    short_before: int
    short_after: int
    saved_minor: int
    moved: int
    shared_parcels: int
    refused: int
    open: int

    @property
    def gap(self) -> float:
        """How far the plan may be from the best one, as a share of the bound."""
        return max(0.0, (self.after_minor - self.bound_minor) / max(self.bound_minor, 1))


class WaveStory(WaveSummary):
    """A wave with all of its groups."""

    groups: tuple[GroupFate, ...]
