"""Reading the sandbox's log: the referee of "exactly once". Works on the file, whoever has it open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from shared.domain.base import Model


class Effect(Model):
    """Something a partner did, once.

    Attributes:
        business_key: What it was done to: the reference of an authorisation, a fulfillment order, a parcel ...
        reference: The idempotency key it was asked under; empty when the partner did it of itself.
        amount: Minor units of money, if any moved.
        at: Unix seconds.
    """

    seq: int
    partner: str
    effect: str
    business_key: str
    reference: str
    amount: int | None
    at: float
    body_hash: str


class Request(Model):
    """A request as it came in, whatever came of it."""

    seq: int
    partner: str
    method: str
    path: str
    reference: str
    at: float
    body_hash: str


SELECT_EFFECTS = """
SELECT * FROM effect WHERE seq > ? AND (? = '' OR partner = ?) AND (? = '' OR effect = ?) ORDER BY seq LIMIT ?"""
SELECT_REQUESTS = "SELECT * FROM request WHERE seq > ? AND (? = '' OR partner = ?) ORDER BY seq LIMIT ?"


def read_effects(database: Path, *, partner: str = "", effect: str = "") -> list[Effect]:
    """Every effect in the file, in order, of one partner or of one kind if asked."""
    return effects_of(_read(database, SELECT_EFFECTS, 0, partner, partner, effect, effect, -1))


def read_requests(database: Path, *, partner: str = "") -> list[Request]:
    """Every request in the file, in order, of one partner if asked."""
    rows = _read(database, SELECT_REQUESTS, 0, partner, partner, -1)
    return [Request.model_validate(dict(row)) for row in rows]


def effects_of(rows: Iterable[sqlite3.Row]) -> list[Effect]:
    return [Effect.model_validate(dict(row)) for row in rows]


def _read(database: Path, sql: str, *values: object) -> list[sqlite3.Row]:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()
