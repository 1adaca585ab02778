"""Expected supply and receipts from outside: plain values become domain models, or all that is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from shared.domain.base import Model
from shared.domain.supply import Inbound, InboundLine, Receipt, SupplyRow
from shared.errors import Fault, InvalidInput
from shared.intake.strict_json import MAX_FAULTS, token
from shared.intake.validation import fault_of

M = TypeVar("M", bound=Model)

#: What rows of one inbound agree in.
_HEADER = ("kind", "node_id", "origin_node_id", "expected_at", "reference")


def read_inbound(values: Mapping[str, Any]) -> Inbound:
    """Expected supply.

    Raises:
        InvalidInput: with every fault of it.
    """
    return _read(Inbound, values)


def read_receipt(values: Mapping[str, Any]) -> Receipt:
    """A delivery as it was counted in.

    Raises:
        InvalidInput: with every fault of it.
    """
    return _read(Receipt, values)


def inbounds_of(rows: Mapping[int, SupplyRow]) -> dict[int, Inbound]:
    """The inbounds that a table's rows tell of, by the first row of each.

    Raises:
        InvalidInput: rows of one inbound differ in more than their item.
    """
    first: dict[str, int] = {}
    faults: list[Fault] = []
    lines: dict[int, list[InboundLine]] = {}
    for number, row in rows.items():
        begun = first.setdefault(row.inbound_id, number)
        lines.setdefault(begun, []).append(InboundLine(sku=row.sku, quantity=row.quantity))
        faults += (
            Fault(pointer=f"/{number}/{name}", code="differs", message=f"is not what row {begun} says of this inbound")
            for name in _HEADER
            if getattr(row, name) != getattr(rows[begun], name)
        )
    if faults:
        raise InvalidInput(faults[:MAX_FAULTS])
    return {number: _inbound(rows[number], of_inbound) for number, of_inbound in lines.items()}


def _inbound(row: SupplyRow, lines: list[InboundLine]) -> Inbound:
    return Inbound(**{name: getattr(row, name) for name in ("inbound_id", *_HEADER)}, lines=tuple(lines))


def _read(model: type[M], values: Mapping[str, Any]) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InvalidInput(faults_of(error)) from None


def faults_of(error: ValidationError) -> list[Fault]:
    """Every fault that pydantic found, with its place."""
    details = error.errors(include_url=False, include_input=False, include_context=False)
    inside = {detail["loc"][:n] for detail in details for n in range(1, len(detail["loc"]))}
    return [
        fault_of(detail["type"], detail["msg"], "".join(f"/{token(str(part))}" for part in detail["loc"]))
        for detail in details
        if detail["loc"] not in inside  # a list is counted without its wrong entries
    ]
