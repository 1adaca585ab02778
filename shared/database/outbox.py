"""What we mean to do outside, written before the first byte leaves, and what came of it."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.base import Model

_INTEND = text("""
    INSERT INTO message_out (message_key, partner_id, order_id) VALUES (:key, :partner_id, :order_id)
    ON CONFLICT (message_key) DO UPDATE SET attempts = message_out.attempts + 1
    RETURNING attempts, answer
""")
_ANSWER = text("""
    UPDATE message_out SET answered_at = now(), answer = CAST(:answer AS jsonb) WHERE message_key = :key
""")


class Intent(Model):
    """One intended message.

    Attributes:
        attempts: How often it was begun, this time included. Beyond the first, nobody knows whether an earlier
            attempt took effect: look it up before sending again.
        answer: What came of it, when that is known.
    """

    attempts: int
    answer: dict[str, Any] | None = None

    @property
    def unsure(self) -> bool:
        return self.attempts > 1


async def intend(connection: AsyncConnection, key: str, partner_id: str, order_id: str) -> Intent:
    """Write down that ``key`` is about to be sent."""
    row = (await connection.execute(_INTEND, {"key": key, "partner_id": partner_id, "order_id": order_id})).one()
    return Intent(attempts=row.attempts, answer=row.answer)


async def answer(connection: AsyncConnection, key: str, outcome: dict[str, Any]) -> None:
    """Write down what came of ``key``."""
    await connection.execute(_ANSWER, {"key": key, "answer": json.dumps(outcome, default=str)})
