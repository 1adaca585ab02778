"""X12 943 stock transfer shipment advices: what is on its way to a warehouse, as one interchange.

``W06*F*TR-1*20260714~ ... N1*SF*...~N1*ST*...~G62*11*20260714~G62*17*20260716~W27*M~W04*100*EA**SK*ITEM123~W03*100~``
says that transfer TR-1 has left with 100 units of ITEM123. W06 names it by the number that the warehouse's receipt
(944) gives back in W17, and the item by ours. Elements and their lengths are those of release 004010.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from shared.domain.base import Instant, Model

#: Longest depositor's order number (element 285), and product number (234).
_ORDER_NO, _PRODUCT = 22, 48
_DELIMITERS = str.maketrans(dict.fromkeys("*~>", " "))


class Departed(Model):
    """A transfer that has left.

    Attributes:
        sender, receiver: Interchange ids of ours and of the warehouse's, at most 15 characters each.
        control_no: Of the interchange; the same whenever it is sent again.
        lines: Items and the units of each that are on their way.
    """

    inbound_id: str
    sender: str
    receiver: str
    control_no: int
    from_node: str
    from_name: str
    to_node: str
    to_name: str
    departed_at: Instant
    expected_at: Instant
    lines: tuple[tuple[str, int], ...]


def write_transfer_advice(transfer: Departed) -> str:
    """The interchange.

    Raises:
        ValueError: the transfer's or an item's number is longer than the standard allows, or holds a delimiter.
    """
    body = [*_heading(transfer), *_detail(transfer.lines)]
    control, at = f"{transfer.control_no % 10**9:09}", transfer.departed_at.astimezone(UTC)
    group = str(transfer.control_no % 10**9)
    envelope = (
        ("ISA", "00", " " * 10, "00", " " * 10, "ZZ", f"{transfer.sender:15}", "ZZ", f"{transfer.receiver:15}",
         f"{at:%y%m%d}", f"{at:%H%M}", "U", "00401", control, "0", "P", ">"),
        ("GS", "AR", transfer.sender, transfer.receiver, f"{at:%Y%m%d}", f"{at:%H%M}", group, "X", "004010"),
        ("ST", "943", "0001"),
        *body,
        ("SE", str(len(body) + 2), "0001"),
        ("GE", "1", group),
        ("IEA", "1", control),
    )  # fmt: skip
    return "".join(f"{'*'.join(segment)}~" for segment in envelope)


def _heading(transfer: Departed) -> Iterator[tuple[str, ...]]:
    yield "W06", "F", _number(transfer.inbound_id, _ORDER_NO), _day(transfer.departed_at)
    yield "N1", "SF", _name(transfer.from_name), "91", transfer.from_node
    yield "N1", "ST", _name(transfer.to_name), "91", transfer.to_node
    yield "G62", "11", _day(transfer.departed_at)
    yield "G62", "17", _day(transfer.expected_at)
    yield "W27", "M"


def _detail(lines: Sequence[tuple[str, int]]) -> Iterator[tuple[str, ...]]:
    for sku, units in lines:
        yield "W04", str(units), "EA", "", "SK", _number(sku, _PRODUCT)
    yield "W03", str(sum(units for _, units in lines))


def _number(number: str, longest: int) -> str:
    if len(number) > longest or number != number.translate(_DELIMITERS):
        raise ValueError(f"{number} cannot be a number in X12: at most {longest} characters, none of them * ~ >")
    return number


def _name(name: str) -> str:
    return " ".join(name.translate(_DELIMITERS).split())[:60]


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%d}"
