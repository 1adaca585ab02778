"""What a fulfillment order's process and its order's know of each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shared.domain.policy import ProcessPolicy


class Owner(Protocol):
    """What a fulfillment order needs of the order it belongs to."""

    order_id: str
    policy: ProcessPolicy
    rolling: bool  #: the workflow is about to start a new run: come to rest
    summoned: set[int]  #: those that go with others whose node was told

    @property
    def may_release(self) -> bool:
        """Paid for, and nothing holds it."""

    def next_key(self, name: str) -> str:
        """A key for one step, the same on every retry and replay of it."""

    def take_back(self, units: int) -> None:
        """These units need a source again."""

    def wind_down(self) -> None:
        """What is given back from now on is cancelled."""

    def facts_moved(self) -> None:
        """Others have changed the order's facts, which have to be read again."""

    def needs_person(self, why: str) -> None:
        """Show that somebody has to look."""

    def publish(self) -> None:
        """Bring what people see up to date."""


@dataclass(frozen=True, kw_only=True)
class GiveBack:
    """Why a node is asked to give a fulfillment order back.

    Attributes:
        exclude: Do not ask this node again for this order for a while.
        unanswered_only: Only when the node has said nothing yet.
    """

    because: str
    actor: str = "doms"
    exclude: bool = True
    unanswered_only: bool = False
