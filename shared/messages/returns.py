"""What a return's process starts with, takes, and comes to."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.domain.base import Instant, Model, OptionalText
from shared.domain.policy import ProcessPolicy
from shared.messages.commands import Command, LineQuantity


class ReturnInput(Model):
    """What a return's workflow starts with; the lines are in the database."""

    return_id: str
    order_id: str
    units: int
    policy: ProcessPolicy = ProcessPolicy()


class ReturnStep(Model):
    """A return and the moment its process decides."""

    step_key: str
    return_id: str
    as_of: Instant
    actor: str = "doms"
    reason: str = ""


class ReturnRequest(Command):
    """Units of an order that the customer sends back."""

    order_id: str
    lines: tuple[LineQuantity, ...] = Field(min_length=1)
    request_id: OptionalText = ""  #: the same request again gets the same return


class ReturnVerdict(Model):
    """The policy's answer to a return request, and whether staff have approved it since if they were asked."""

    decision: Literal["approved", "declined", "ask_staff"]
    decided: bool | None = None
    reason: str = ""
    node_id: str = ""
    value_minor: int = 0


class DecideReturn(Command):
    """Staff approve or decline a return that waits for them."""

    approve: bool


class ReturnOutcome(Model):
    """How a return ended."""

    return_id: str
    status: str
    received_units: int = 0
    refund_minor: int = 0
