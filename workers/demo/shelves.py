"""The demo's partners hold what the ledger says they do, by their own books: a reconciliation compares real figures."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from shared.database.stock import Move

#: Positions in one request.
_PAGE = 5_000


async def fill_shelves(sandbox_url: str, moves: Sequence[Move]) -> None:
    """Put on the nodes' shelves what moves have booked there, or take it away.

    Raises:
        httpx.HTTPError: the sandbox does not answer, or does not take it.
    """
    shelves = [{"node_id": move.node_id, "sku": move.sku, "units": move.on_hand} for move in moves if move.on_hand]
    async with httpx.AsyncClient(base_url=sandbox_url, timeout=30) as http:
        for start in range(0, len(shelves), _PAGE):
            answer = await http.post("/control/stock", json=shelves[start : start + _PAGE])
            answer.raise_for_status()
