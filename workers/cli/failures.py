"""From what went wrong to an exit code and one clear line; the only place that knows both.

====  ======================================================================================
code  meaning
====  ======================================================================================
0     done
1     a fault of ours; the traceback says where
2     wrong usage, or a document with faults: each is named with its place
3     what was named does not exist
4     refused: the state, the actor's rights or a partner do not allow it
5     a server does not answer; nothing is known to have happened, try again
====  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from shared.errors import (
    Conflict,
    DomsError,
    Fault,
    GatewayError,
    InvalidInput,
    NotAllowed,
    NotFound,
    PartnerUnavailable,
    Unavailable,
)
from workers.cli.output import put, put_json

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

USAGE, NOT_FOUND, REFUSED, UNAVAILABLE = 2, 3, 4, 5

#: The first that fits.
_CODES: tuple[tuple[type[DomsError], int], ...] = (
    (InvalidInput, USAGE),
    (NotFound, NOT_FOUND),
    (Conflict, REFUSED),
    (NotAllowed, REFUSED),
    (PartnerUnavailable, UNAVAILABLE),
    (GatewayError, REFUSED),
    (Unavailable, UNAVAILABLE),
)


def exit_code(error: DomsError) -> int:
    return next((code for kind, code in _CODES if isinstance(error, kind)), 1)


def as_doms_error(error: Exception) -> DomsError | None:
    """The error of ours that a library's error amounts to; ``None`` when it is a bug."""
    if isinstance(error, DomsError):
        return error
    if isinstance(error, ValidationError):
        return InvalidInput(list(_faults(error)))
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
        return NotFound(f"cannot read {error.filename}: {error.strerror}")
    return _failing_criterion(error) or _unreachable(error)


def _faults(error: ValidationError) -> Iterator[Fault]:
    faults = error.errors()
    for fault in faults:
        place = fault["loc"]
        # Of a list pydantic counts only what is sound: it is too short because of the faults in it.
        if fault["type"] == "too_short" and any(
            other["loc"][: len(place)] == place != other["loc"] for other in faults
        ):
            continue
        yield Fault(pointer=_pointer(fault), code=fault["type"], message=fault["msg"].removeprefix("Value error, "))


def _pointer(fault: ErrorDetails) -> str:
    return "".join(f"/{part}" for part in fault["loc"])


def _failing_criterion(error: Exception) -> DomsError | None:
    from shared.domain.sourcing.criteria import CriterionFailed

    return Conflict(str(error)) if isinstance(error, CriterionFailed) else None


def _unreachable(error: Exception) -> DomsError | None:
    from sqlalchemy.exc import SQLAlchemyError
    from temporalio.service import RPCError, RPCStatusCode

    from shared.database.engine import is_unreachable
    from workers.stack import StackError

    if isinstance(error, StackError):
        return Unavailable(str(error))
    if isinstance(error, SQLAlchemyError) and is_unreachable(error):
        return Unavailable("the database does not answer; is the stack running? `doms status` tells")
    if isinstance(error, RPCError) and error.status in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED):
        return Unavailable("Temporal does not answer; is the stack running? `doms status` tells")
    return None


def put_error(error: DomsError, *, as_json: bool) -> None:
    """Say what was wrong: to people on standard error, to programs as an object on standard output."""
    faults = error.faults if isinstance(error, InvalidInput) else ()
    if as_json:
        body: dict[str, Any] = {"code": error.code, "message": str(error), "details": error.details}
        if faults:
            body["faults"] = faults
        put_json({"error": body})
        return
    if faults:
        put(_red(f"{len(faults)} fault(s): nothing was done"), error=True)
        for fault in faults:
            put(_plain(f"  {fault.pointer or '/'}: {fault.message} [{fault.code}]"), error=True)
        return
    put(_red(str(error)), error=True)
    for name, value in error.details.items():
        if not _said(value, str(error)):
            put(_plain(f"  {name}: {value}"), error=True)


def _said(detail: Any, message: str) -> bool:
    """Whether the message tells a detail already, which then is for programs only."""
    if isinstance(detail, Mapping):
        return all(_said(part, message) for pair in detail.items() for part in pair)
    if isinstance(detail, list | tuple):
        return all(_said(part, message) for part in detail)
    return str(detail) in message


def _red(message: str) -> Any:
    from rich.text import Text

    return Text.assemble(("error: ", "bold red"), message)


def _plain(message: str) -> Any:
    from rich.text import Text

    return Text(message)
