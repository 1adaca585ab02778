"""What staff may tell a process, and what it answers."""

from __future__ import annotations

from pydantic import Field

from shared.domain.base import Model, OptionalText, Text
from shared.domain.orders import HoldKind


class LineQuantity(Model):
    """Units of one line, as a command names them."""

    line_no: int = Field(strict=True, ge=1)
    quantity: int = Field(strict=True, ge=1)


class Command(Model):
    """A staff command. ``actor`` is an account, never a person's name."""

    actor: Text
    reason: OptionalText = ""


class CancelOrder(Command):
    """Cancel the whole order, or the named quantities of its lines."""

    lines: tuple[LineQuantity, ...] = ()


class Reroute(Command):
    """Take one fulfillment order from its node; to ``to_node``, or to the best other node."""

    n: int = Field(strict=True, ge=1)
    to_node: str = ""


class PlaceHold(Command):
    """Stop everything that has not been sent to a node."""

    kind: HoldKind = HoldKind.STAFF


class ReleaseHold(Command):
    """Let the order go on when no other hold stands."""

    hold_id: str


class Unmerge(Command):
    """Have the order travel alone, as far as no label is being bought."""


class CommandOutcome(Model):
    """What a staff command did. ``refused`` names what it could not do, and why.

    Attributes:
        units: Units cancelled, moved or held back.
    """

    done: bool
    units: int = 0
    message: str
    refused: tuple[str, ...] = ()
