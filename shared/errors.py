"""Every error a caller of DOMS can meet.

::

    DomsError                    code, retryable, details: safe to show, never personal data
    ├── InvalidInput             the sender's fault; lists every fault with its place
    ├── NotFound                 no such order, fulfillment order, return, node or item
    ├── Conflict                 the state does not allow it, or the id names other content
    ├── NotAllowed               the actor may not
    ├── Unavailable              a server we need does not answer; try again
    └── GatewayError             an outside party
        ├── PartnerUnavailable   no answer, or "try later": nothing is known, look up and retry
        └── PartnerRefused       the party answered that the request is wrong; retrying will not help
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.domain.base import Model

#: Temporal histories keep error texts: bound them.
MAX_TEXT = 8_000


class Fault(Model):
    """One thing wrong with an input.

    Attributes:
        pointer: RFC 6901 JSON pointer to the place, empty for the whole document.
        code: Machine-readable kind of fault.
        message: What was wrong and what to do.
    """

    pointer: str
    code: str
    message: str


class DomsError(Exception):
    """Root of the tree. ``str()`` of it says what was wrong, where, and what to do."""

    code = "error"
    retryable = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message[:MAX_TEXT])
        self.details = details


class InvalidInput(DomsError):
    """The input is refused at the door; nothing was written."""

    code = "invalid_input"

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        shown = "; ".join(f"{fault.pointer or '/'}: {fault.message}" for fault in self.faults[:20])
        more = f"; and {len(self.faults) - 20} more" if len(self.faults) > 20 else ""
        super().__init__(f"{len(self.faults)} fault(s): {shown}{more}")


class NotFound(DomsError):
    """What was named does not exist."""

    code = "not_found"


class Conflict(DomsError):
    """The request contradicts what is already so."""

    code = "conflict"


class NotAllowed(DomsError):
    """The actor may not do this."""

    code = "not_allowed"


class Unavailable(DomsError):
    """A server of ours does not answer. Nothing is known to have happened; send the same request again."""

    code = "unavailable"
    retryable = True


class GatewayError(DomsError):
    """An outside party failed us. ``details`` holds ``partner`` and ``reference``."""

    code = "gateway"


class PartnerUnavailable(GatewayError):
    """No usable answer. ``retry_after`` holds the seconds the party asked us to wait, if it did."""

    code = "partner_unavailable"
    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class PartnerRefused(GatewayError):
    """The party understood and refused; the request must change."""

    code = "partner_refused"
