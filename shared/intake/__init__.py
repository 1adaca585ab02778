"""The door: bytes from outside become order documents, or a list of everything that is wrong with them.

Nothing is coerced. What the rules are, and where:

=====================  ====================================================================================
``strict_json``        bytes to JSON values: size, UTF-8, no byte order mark, no repeated keys, no NaN, no
                       number beyond 64 bits, no control characters or lone surrogates, bounded depth
``validation``         the shape of an order document: types, ranges, unknown and missing fields
``checks``             what needs more than one field or a table: dates, currency, line numbers, totals
``addresses``          real countries, and each country's required fields and postal codes
``cards``              no card number in any text
``catalogue``          known items in the order's currency (needs the catalogue, so it is called apart)
=====================  ====================================================================================

A body holds one order, an array of orders, or one order per line (JSON Lines). A fault's pointer leads into
the sender's own body, ``/3/lines/0/quantity`` when there are many orders.
"""

from shared.intake.catalogue import check_catalogue
from shared.intake.reading import Source, read_orders
from shared.intake.strict_json import MAX_BODY_BYTES, MAX_FAULTS

__all__ = ["MAX_BODY_BYTES", "MAX_FAULTS", "Source", "check_catalogue", "read_orders"]
