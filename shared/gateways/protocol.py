"""What DOMS asks of its outside parties and what they answer, whatever the wire looks like.

Every request carries a ``reference``: our stable business key, the same on every retry. A party that has
already seen it answers with the first result; after an unknown outcome the gateway looks the reference up
before it sends again, so that a lost response never becomes a second effect.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Protocol

from pydantic import Field

from shared.domain.base import Identifier, Instant, Minor, Model, OptionalText, Quantity, Sku, unused
from shared.domain.cartons import PackedLine
from shared.domain.network import NodeType
from shared.domain.orders import Address, Country
from shared.domain.quotes import CarrierQuote, Grams

# --- payments -------------------------------------------------------------------------------------------


class Authorize(Model):
    """Hold funds. ``reference`` is ``{order_id}/authorize/{n}``."""

    reference: str
    order_id: str
    amount_minor: Minor
    currency: str
    token: str


class Capture(Model):
    """Take authorised funds. ``reference`` is ``{order_id}/capture/{shipment}``."""

    reference: str
    authorization_id: str
    amount_minor: Minor
    currency: str


class Void(Model):
    """Release what is authorised and not captured."""

    reference: str
    authorization_id: str


class Refund(Model):
    """Give captured money back."""

    reference: str
    authorization_id: str
    amount_minor: Minor
    currency: str


class PaymentStatus(StrEnum):
    """What became of a payment operation."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"  #: a business answer, not an error


class PaymentResult(Model):
    """The provider's answer to one operation.

    Attributes:
        provider_id: The provider's id of the operation (for an authorisation, its authorization_id).
        reason: Machine-readable decline code, empty on success.
    """

    status: PaymentStatus
    provider_id: str
    amount_minor: Minor = 0
    reason: str = ""
    expires_at: Instant | None = None


class PaymentProvider(Protocol):
    """A payment provider. Raises ``GatewayError`` (see ``shared.errors``) when there is no answer."""

    async def authorize(self, request: Authorize) -> PaymentResult: ...
    async def capture(self, request: Capture) -> PaymentResult: ...
    async def void(self, request: Void) -> PaymentResult: ...
    async def refund(self, request: Refund) -> PaymentResult: ...

    async def find(self, reference: str) -> PaymentResult | None:
        """What became of an operation; ``None`` when the provider never saw the reference."""
        ...


# --- carriers -------------------------------------------------------------------------------------------


class QuoteRequest(Model):
    """Ask what one parcel costs by each of the carrier's services; no person is named.

    ``reference`` names the question: asked again under it the answer is the first one, so news need a new one.
    """

    reference: str
    from_node: Identifier
    country: Country
    postal_code: OptionalText = ""
    weight_g: Grams


class BuyLabel(Model):
    """Buy one parcel's label. ``reference`` is the parcel's, see ``shared.database.labels.Parcel``; when others refused
    to sell it, with the number of who is asked now behind it.

    Attributes:
        quote_id: The quote it is bought under; once that has expired, or without one, it costs what is asked then.
    """

    reference: str
    carrier: Identifier
    service: Identifier
    from_node: Identifier
    ship_to: Address
    weight_g: int
    declared_minor: Minor = 0
    quote_id: Annotated[str, Field(exclude_if=unused)] = ""


class Label(Model):
    """A bought label. Tracking numbers are recycled by carriers: never treat them as unique for ever."""

    label_id: str
    reference: str
    carrier: Identifier
    service: Identifier
    tracking_no: str
    cost_minor: Minor
    currency: str = "USD"
    document_url: str = ""


class VoidOutcome(StrEnum):
    """What the carrier says of a request to void a label."""

    VOIDED = "voided"
    ALREADY_USED = "already_used"
    UNKNOWN_LABEL = "unknown_label"


class Carrier(Protocol):
    """A carrier. Raises ``GatewayError`` when there is no answer or the request is refused.

    Voiding is safe to repeat as it is: a voided label answers ``VOIDED`` again.
    """

    async def quote(self, request: QuoteRequest, *, within: float) -> tuple[CarrierQuote, ...]:
        """What the parcel costs by each service, answered within so many seconds or not at all."""
        ...

    async def buy_label(self, request: BuyLabel) -> Label: ...
    async def find_label(self, reference: str) -> Label | None: ...
    async def void_label(self, label_id: str) -> VoidOutcome: ...


# --- fulfilment partners: warehouses and stores, 3PLs, vendors ---------------------------------------------


class RequestedLine(Model):
    """Units of one order line that a node is to ship."""

    line_no: int
    sku: Sku
    partner_sku: Sku
    quantity: Quantity
    weight_g: int = 500
    unit_cost_minor: Minor = 0


class Consolidation(Model):
    """Fulfillment orders that a node is to pack into one parcel, as far as they fit.

    Attributes:
        members: How many there are when the node is told. Fewer may come: the labels say who travels together.
    """

    consolidation_id: str
    members: int


class SuggestedPackage(Model):
    """What should go together in one package; the node may pack otherwise, and says so when it has.

    Attributes:
        carton: Its name; ``None`` for a unit that goes as it is.
        length_mm, width_mm, height_mm: Inside of the carton.
        weight_g: Goods and carton.
    """

    carton: str | None
    length_mm: int
    width_mm: int
    height_mm: int
    weight_g: int
    lines: tuple[PackedLine, ...]


class FulfillmentRequest(Model):
    """Tell a node to ship. ``reference`` is the fulfillment order id.

    A warehouse or store gets it as a pick-and-pack task, a 3PL as a shipping order, a vendor as a purchase
    order; each sees only its own lines and the address it ships to.

    Attributes:
        consolidation: What it is packed together with, if anything.
        packages: How it was planned to be packed; empty where that is not known or no longer so.
    """

    reference: str
    order_id: str
    node_id: Identifier
    node_type: NodeType
    ship_to: Address
    carrier: Identifier
    service: Identifier
    ship_by: Instant
    lines: Annotated[tuple[RequestedLine, ...], Field(min_length=1)]
    consolidation: Consolidation | None = None
    packages: tuple[SuggestedPackage, ...] = ()


class CancelRequest(Model):
    """Ask a node not to ship a fulfillment order; the node may refuse. ``reference`` is the order's."""

    reference: str
    node_id: Identifier
    node_type: NodeType


class CancelAnswer(Model):
    """The node's answer. A refusal means that it ships, or has shipped."""

    accepted: bool
    reason: str = ""


class SendLabel(Model):
    """Hand a bought label to the node that waits for it.

    Attributes:
        together: The fulfillment orders whose packages under this label travel as one parcel; it leaves when all of
            them are there. Empty for a parcel of its own.
    """

    reference: str
    node_id: Identifier
    package_no: int
    label: Label
    together: Annotated[tuple[str, ...], Field(exclude_if=unused)] = ()


class ExpectReturn(Model):
    """Tell the node that receives a return what will come."""

    reference: str
    order_id: str
    node_id: Identifier
    node_type: NodeType
    lines: tuple[RequestedLine, ...]


class TransferAdvice(Model):
    """Tell a node what is on its way to it from another of ours. ``reference`` is the inbound's id.

    Attributes:
        interchange: The same as an X12 943, which is what warehouses read.
    """

    reference: str
    node_id: Identifier
    interchange: str


class StockFigure(Model):
    """Sound units of an item that a node holds, ordered ones included until they leave."""

    sku: Sku
    on_hand: Annotated[int, Field(ge=0, le=10**9)]


class StockSnapshot(Model):
    """What a node holds, by its own books.

    Attributes:
        as_of: The moment of the figures: what left by then is not in them, what left later is.
        figures: One each SKU; an item that is not named is not told of.
    """

    node_id: Identifier
    as_of: Instant
    figures: tuple[StockFigure, ...]


class FulfillmentPartner(Protocol):
    """Whoever runs a node. Every call is safe to repeat with the same reference.

    Cancelling and sending a label set a state, so that repeating them needs no look-up. A cancelled reference
    is never shipped, even if its request arrives after the cancellation.
    """

    async def request(self, request: FulfillmentRequest) -> None: ...
    async def find(self, reference: str, node_id: str, node_type: NodeType) -> bool: ...
    async def cancel(self, request: CancelRequest) -> CancelAnswer: ...
    async def send_label(self, request: SendLabel) -> None: ...
    async def expect_return(self, request: ExpectReturn) -> None: ...
    async def advise_transfer(self, request: TransferAdvice) -> None: ...
    async def find_return(self, reference: str) -> bool: ...

    async def stock_snapshot(self, node_id: str) -> StockSnapshot | None:
        """What the node holds now; ``None`` when the partner does not tell."""
        ...
