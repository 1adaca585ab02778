"""A source of stock figures as it is defined from outside: every fault at once, with its place."""

from __future__ import annotations

from pydantic import ValidationError

from shared.domain.feeds import FeedSource
from shared.errors import InvalidInput
from shared.intake.validation import fault_of


def read_definition(content: bytes) -> FeedSource:
    """The source a JSON document defines.

    Raises:
        InvalidInput: with every fault of the document.
    """
    try:
        return FeedSource.model_validate_json(content)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        raise InvalidInput([fault_of(each["type"], each["msg"], _pointer(each["loc"])) for each in details]) from None


def _pointer(place: tuple[int | str, ...]) -> str:
    """The place in the document: pydantic names the format of ``reading`` as if it were a field inside it."""
    parts = place[:1] + place[2:] if place[:1] == ("reading",) else place
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)
