"""What commands to a running order have in common: who gives them, and how their outcome is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from workers.cli.failures import REFUSED
from workers.cli.output import Answer

if TYPE_CHECKING:
    from shared.errors import Fault
    from shared.messages import CommandOutcome, LineQuantity

#: An account, never a person's name: it is kept in the order's timeline.
Actor = Annotated[str, Parameter(env_var="DOMS_ACTOR", help="The account that does it.")]
Lines = Annotated[
    tuple[str, ...],
    Parameter(name="--line", negative="", show_default=False, help="Line and units, as 2:1; may be repeated."),
]


def told(outcome: CommandOutcome) -> Answer:
    """The outcome of a command; one that did nothing was refused."""
    lines = [outcome.message, *(f"  but: {refusal}" for refusal in outcome.refused)]
    return Answer(outcome, text="\n".join(lines), code=0 if outcome.done else REFUSED)


def quantities(lines: tuple[str, ...]) -> tuple[LineQuantity, ...]:
    """Read ``2:1`` as one unit of line 2.

    Raises:
        InvalidInput: an entry is not two positive numbers.
    """
    from shared.errors import InvalidInput
    from shared.messages import LineQuantity

    read: list[LineQuantity] = []
    faults = []
    for place, entry in enumerate(lines):
        line_no, _, quantity = entry.partition(":")
        if line_no.isdecimal() and quantity.isdecimal() and int(line_no) and int(quantity):
            read.append(LineQuantity(line_no=int(line_no), quantity=int(quantity)))
        else:
            faults.append(_fault(place, entry))
    if faults:
        raise InvalidInput(faults)
    return tuple(read)


def _fault(place: int, entry: str) -> Fault:
    from shared.errors import Fault

    return Fault(pointer=f"/lines/{place}", code="not_a_quantity", message=f"{entry!r} is not LINE:UNITS, such as 2:1")
