"""Expected supply and receipts from outside: plain values become domain models, or all that is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from shared.domain.base import Model
from shared.domain.supply import Inbound, Receipt
from shared.errors import Fault, InvalidInput
from shared.intake.strict_json import token
from shared.intake.validation import fault_of

M = TypeVar("M", bound=Model)


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
