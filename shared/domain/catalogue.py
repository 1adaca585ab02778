"""What is sold: items, and each source's own offer of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.domain.base import Currency, Identifier, Minor, Model, OptionalText, Sku


class Item(Model):
    """A stock-keeping unit. Weight in grams, sides in millimetres, money in minor units.

    Attributes:
        own_container: It ships as it is, each unit a package.
    """

    sku: Sku
    name: OptionalText = ""
    weight_g: Annotated[int, Field(ge=0)] = 500
    length_mm: Annotated[int, Field(ge=0)] = 200
    width_mm: Annotated[int, Field(ge=0)] = 150
    height_mm: Annotated[int, Field(ge=0)] = 100
    price_minor: Minor = 0
    cost_minor: Minor = 0
    currency: Currency = "USD"
    own_container: bool = False


class Component(Model):
    """Units of an item that one bundle holds, and the price they are sold at alone."""

    sku: Sku
    quantity: Annotated[int, Field(ge=1)]
    price_minor: Minor = 0


class SoldItem(Item):
    """An item as it is sold: with components it is a bundle, which has no stock of its own."""

    components: tuple[Component, ...] = ()


class BundleComponent(Model):
    """Units of one item in a bundle of several."""

    bundle_sku: Sku
    component_sku: Sku
    quantity: Annotated[int, Field(ge=1, le=1000)]


class SourceOffer(Model):
    """One source's version of an item: its number for it, its cost, and how it counts.

    Attributes:
        pack_size: Base units in one of the partner's units.
        lead_days: Working days the source needs before it can ship what it does not hold.
    """

    node_id: Identifier
    sku: Sku
    partner_sku: Sku
    cost_minor: Minor = 0
    pack_size: Annotated[int, Field(ge=1)] = 1
    lead_days: Annotated[int, Field(ge=0)] = 0
