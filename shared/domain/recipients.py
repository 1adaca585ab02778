"""Whether two orders go to the same customer at the same address, however it was written."""

from __future__ import annotations

import unicodedata

from shared.domain.orders import Address


def recipient_of(customer_ref: str, ship_to: Address) -> str:
    """A name for the customer at the address; empty where the channel does not say who the customer is.

    Case, accents, punctuation and spaces do not tell addresses apart; every word and number does.
    """
    if not customer_ref:
        return ""
    parts = (ship_to.line1, ship_to.line2, ship_to.city, ship_to.region, ship_to.postal_code, ship_to.country)
    return "/".join([customer_ref, *map(_plain, parts)])


def _plain(written: str) -> str:
    apart = unicodedata.normalize("NFKD", written).casefold()
    return "".join(sign for sign in apart if sign.isalnum())
