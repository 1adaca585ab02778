"""The outside parties DOMS speaks to."""

from __future__ import annotations

from enum import StrEnum

from pydantic import model_validator

from shared.domain.base import Identifier, Model


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
    """

    partner_id: Identifier
    kind: PartnerKind
    base_url: str
    quotes: bool = False

    @model_validator(mode="after")
    def _only_carriers_quote(self) -> PartnerEndpoint:
        if self.quotes and self.kind is not PartnerKind.CARRIER:
            raise ValueError("only a carrier can be asked for quotes")
        return self
