"""The outside parties DOMS speaks to."""

from __future__ import annotations

from enum import StrEnum

from shared.domain.base import Identifier, Model


class PartnerKind(StrEnum):
    """What a partner does for us."""

    PAYMENT = "payment"
    CARRIER = "carrier"
    FULFILLMENT = "fulfillment"
    CHANNEL = "channel"  #: sells, and is told what it may sell


class PartnerEndpoint(Model):
    """Where a partner is reached."""

    partner_id: Identifier
    kind: PartnerKind
    base_url: str
