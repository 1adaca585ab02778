"""What may go where: goods that are dangerous or banned, lanes that are closed, and duties at borders."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from shared.domain.base import Model, OptionalText, Sku
from shared.domain.network import Node, Place
from shared.domain.orders import Country

OptionalCountry = Annotated[str, StringConstraints(pattern=r"^([A-Z]{2})?$")]
#: A place in the Harmonized System: six digits the world agrees on, and up to four of a country's own.
HsCode = Annotated[str, StringConstraints(pattern=r"^([0-9]{6,10})?$")]
HsPrefix = Annotated[str, StringConstraints(pattern=r"^[0-9]{0,10}$")]


class ItemTrade(Model):
    """What carriers and customs ask of an item.

    Attributes:
        hazmat: Dangerous goods.
        origin_country: Where it was made.
        banned_countries: It may not be sent there, whoever ships it.
    """

    sku: Sku
    hazmat: bool = False
    origin_country: OptionalCountry = ""
    hs_code: HsCode = ""
    banned_countries: Annotated[tuple[Country, ...], Field(max_length=250)] = ()

    @property
    def declared(self) -> bool:
        """Whether there is what a customs declaration needs."""
        return bool(self.origin_country and self.hs_code)


class Goods(StrEnum):
    """What a lane is closed to."""

    NOTHING = "nothing"
    HAZMAT = "hazmat"
    EVERYTHING = "everything"


class LaneRule(Model):
    """A lane that is closed: what is left empty stands for all of them. Of several rules each closes what it says.

    Attributes:
        node_id, carrier, service: From where, and by what.
        country, region: To where.
    """

    node_id: OptionalText = ""
    country: Country
    region: OptionalText = ""
    carrier: OptionalText = ""
    service: OptionalText = ""
    closed_to: Goods

    def reaches(self, to: Place) -> bool:
        return self.country == to.country and self.region in ("", to.region)

    def leaves(self, node: Node) -> bool:
        return self.node_id in ("", node.node_id)

    def is_of(self, carrier: str, service: str) -> bool:
        return self.carrier in ("", carrier) and self.service in ("", service)

    @property
    def of_any_service(self) -> bool:
        return not (self.carrier or self.service)


class CustomsRule(Model):
    """What a country asks for goods from another one. A country with a rule lets nothing in that is not declared.

    Attributes:
        hs_prefix: Goods whose code begins with it; the longest one that fits counts, and the empty one fits all.
        duty_bp: Duty in basis points of the price.
    """

    country: Country
    hs_prefix: HsPrefix = ""
    duty_bp: Annotated[int, Field(ge=0, le=100_000)]


class TradeRules(Model):
    """What holds for every order; it changes with the network's version.

    Attributes:
        any_items: Whether anything is known of any item.
    """

    lanes: tuple[LaneRule, ...] = ()
    customs: tuple[CustomsRule, ...] = ()
    any_items: bool = False

    def lets_pass(self, node: Node, to: Place, carrier: str, service: str, *, hazmat: bool) -> bool:
        """Whether a parcel may go by a service."""
        closing = {Goods.EVERYTHING, Goods.HAZMAT} if hazmat else {Goods.EVERYTHING}
        return not any(
            rule.closed_to in closing and rule.reaches(to) and rule.leaves(node) and rule.is_of(carrier, service)
            for rule in self.lanes
        )

    @property
    def bind(self) -> bool:
        return bool(self.lanes or self.customs or self.any_items)


class Trade(Model):
    """The rules, with what they may ask about the items of an order."""

    rules: TradeRules = TradeRules()
    items: tuple[ItemTrade, ...] = ()


NO_TRADE = Trade()
