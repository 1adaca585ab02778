from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def order() -> dict[str, Any]:
    return {
        "channel": "webshop",
        "channel_order_id": "W-1",
        "placed_at": "2026-03-02T09:00:00Z",
        "currency": "USD",
        "customer_ref": "C-7",
        "ship_to": {
            "name": "Ada Ito",
            "line1": "12 Elm Court",
            "city": "Columbus",
            "region": "OH",
            "postal_code": "43217",
            "country": "US",
        },
        "lines": [
            {
                "line_no": 1,
                "sku": "TRN-1",
                "quantity": 2,
                "unit_price_minor": 1999,
                "discount_minor": 98,
                "tax_minor": 300,
            },
            {"line_no": 2, "sku": "KIT-2", "quantity": 1, "unit_price_minor": 500},
        ],
        "shipping_minor": 595,
        "payment": {"kind": "card", "token": "tok_ok-1"},
    }
