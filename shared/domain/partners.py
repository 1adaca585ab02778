"""The outside parties DOMS speaks to."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import StringConstraints, model_validator

from shared.domain.base import Identifier, Model

#: At most 15 characters, as X12's interchange header pads them to.
InterchangeId = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9._-]{1,14}$")]


class PartnerKind(StrEnum):
    """What a partner does for us."""

    PAYMENT = "payment"
    CARRIER = "carrier"
    FULFILLMENT = "fulfillment"
    CHANNEL = "channel"  #: sells, and is told what it may sell


class PartnerEndpoint(Model):
    """Where a partner is reached.

    Attributes:
        quotes: Whether a carrier's account is asked for quotes; else its rate card is all there is.
        connector: Of an installed package, by which it is spoken to (``shared.gateways.connectors``); ``None`` is our
            own protocol.
        edi_id: The X12 interchange id of whoever runs nodes; with one it is told of transfers on their way (943).
        edi_sender_id: Who we are to it.
    """

    partner_id: Identifier
    kind: PartnerKind
    base_url: str
    quotes: bool = False
    connector: Identifier | None = None
    edi_id: InterchangeId | None = None
    edi_sender_id: InterchangeId = "DOMS"

    @model_validator(mode="after")
    def _only_carriers_quote(self) -> PartnerEndpoint:
        if self.quotes and self.kind is not PartnerKind.CARRIER:
            raise ValueError("only a carrier can be asked for quotes")
        return self

    @model_validator(mode="after")
    def _only_who_moves_goods_is_connected(self) -> PartnerEndpoint:
        if self.connector is not None and self.kind not in (PartnerKind.CARRIER, PartnerKind.FULFILLMENT):
            raise ValueError("only a carrier or who runs nodes can have a connector")
        return self

    @model_validator(mode="after")
    def _only_nodes_are_told_of_transfers(self) -> PartnerEndpoint:
        if self.edi_id is not None and self.kind is not PartnerKind.FULFILLMENT:
            raise ValueError("only who runs nodes is told of transfers")
        return self
