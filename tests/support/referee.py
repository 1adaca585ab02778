"""The referee: what the partners' own log says happened, held against what our facts say happened.

Three independent truths are joined: the sandbox's append-only log, the facts in Postgres, and the invariants
over both. A check that only reads our side would be satisfied by a system that never calls anyone.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import text

from shared.database.engine import Database
from workers.sandbox.log import Effect, read_effects

_REQUESTED = """
    SELECT fulfillment_order_id AS key FROM fulfillment_order
    WHERE order_id = ANY(:orders) AND request_status NOT IN ('unsubmitted', 'rejected', 'cancel_accepted')
"""
_SHIPPED = (
    "SELECT fulfillment_order_id AS key FROM fulfillment_order WHERE order_id = ANY(:orders) AND shipped_at IS NOT NULL"
)
_LABELS = """
    SELECT label_id AS key FROM package
    WHERE order_id = ANY(:orders) AND label_status IN ('completed', 'voided') AND label_id IS NOT NULL
"""
_MONEY = """
    SELECT kind, coalesce(sum(amount_minor), 0) AS amount FROM payment_operation
    WHERE order_id = ANY(:orders) AND status = 'succeeded' AND provider_id <> '' GROUP BY kind
"""
_INVARIANTS = {
    "orders not over": "SELECT count(*) FROM orders WHERE order_id = ANY(:orders) AND closed_at IS NULL",
    "reservations left open": "SELECT count(*) FROM reservation WHERE order_id = ANY(:orders) AND open > 0",
    "positions that are not the sum of their moves": """
        SELECT count(*) FROM stock_position p
        LEFT JOIN (SELECT node_id, sku, sum(on_hand) AS h, sum(reserved) AS r FROM stock_move GROUP BY 1, 2) m
        USING (node_id, sku) WHERE p.on_hand <> coalesce(m.h, 0) OR p.reserved <> coalesce(m.r, 0)
    """,
    "positions that are not the sum of their reservations": """
        SELECT count(*) FROM stock_position p
        LEFT JOIN (SELECT node_id, sku, sum(open) AS r FROM reservation GROUP BY 1, 2) m
        USING (node_id, sku) WHERE p.reserved <> coalesce(m.r, 0)
    """,
    "money captured for what did not leave": """
        SELECT count(*) FROM payment p JOIN (
            SELECT l.order_id, sum(l.total_minor * (l.shipped + l.delivered + l.returned) / l.quantity) AS left_minor,
                   sum(l.shipped + l.delivered + l.returned) AS units
            FROM order_line l GROUP BY l.order_id) d USING (order_id)
        JOIN orders o USING (order_id)
        WHERE order_id = ANY(:orders)
          AND p.captured_minor <> CASE WHEN d.units > 0 THEN d.left_minor + o.shipping_minor ELSE 0 END
    """,
    "authorisations neither captured nor voided": """
        SELECT count(*) FROM payment
        WHERE order_id = ANY(:orders) AND authorized_minor <> captured_minor + voided_minor
    """,
}
_EFFECTS = {
    "authorize": "payment.authorized",
    "capture": "payment.captured",
    "void": "payment.voided",
    "refund": "payment.refunded",
}


async def disagreements(database: Database, log: Path, orders: list[str]) -> list[str]:
    """Everything on which the partners' log, the facts and the invariants do not agree; empty is the verdict sought."""
    effects = read_effects(log)
    async with database.reading() as connection:

        async def rows(statement: str) -> list[Any]:
            return list((await connection.execute(text(statement), {"orders": orders})).all())

        found = _twice(effects)
        found += _differ("requests", _of(effects, ".taken"), {row.key for row in await rows(_REQUESTED)}, subset=True)
        found += _differ("shipments", _of(effects, ".shipped"), {row.key for row in await rows(_SHIPPED)})
        bought = {e.business_key for e in effects if e.effect == "label.bought"}
        found += _differ("labels", bought, {row.key for row in await rows(_LABELS)})
        found += _unused(effects, bought)
        found += _money(effects, {row.kind: int(row.amount) for row in await rows(_MONEY)})
        for name, statement in _INVARIANTS.items():
            count = (await rows(statement))[0][0]
            found += [f"{count} {name}"] if count else []
    return found


def _of(effects: list[Effect], ending: str) -> set[str]:
    return {e.business_key for e in effects if e.effect.endswith(ending) and not e.effect.startswith("label")}


def _twice(effects: list[Effect]) -> list[str]:
    """Effects that must happen at most once for a key of ours, and happened more often."""
    once = Counter((e.effect, e.reference) for e in effects if e.reference and not e.effect.startswith("message"))
    jobs = Counter((e.effect, e.business_key) for e in effects if e.effect.endswith((".taken", ".packed", ".shipped")))
    authorized = Counter(e.reference.partition("/authorize/")[0] for e in effects if e.effect == "payment.authorized")
    return [
        *(f"{effect} {key} happened {n} times" for (effect, key), n in (once | jobs).items() if n > 1),
        *(f"{order} was authorised {n} times" for order, n in authorized.items() if n > 1),
    ]


def _differ(what: str, theirs: set[str], ours: set[str], *, subset: bool = False) -> list[str]:
    """Keys on one side only. With ``subset`` the partners may know more: what was given back again."""
    missing = [f"{what}: we have {key}, the partners do not" for key in sorted(ours - theirs)]
    extra = [] if subset else [f"{what}: the partners have {key}, we do not" for key in sorted(theirs - ours)]
    return missing + extra


def _unused(effects: list[Effect], bought: set[str]) -> list[str]:
    """Every label is used on a parcel or voided."""
    ended = {e.business_key for e in effects if e.effect in ("label.used", "label.voided")}
    return [f"label {label} was neither used nor voided" for label in sorted(bought - ended)]


def _money(effects: list[Effect], ours: dict[str, int]) -> list[str]:
    found = []
    for kind, effect in _EFFECTS.items():
        theirs = sum(e.amount or 0 for e in effects if e.effect == effect)
        if theirs != ours.get(kind, 0):
            found.append(f"{kind}: the provider moved {theirs}, we booked {ours.get(kind, 0)}")
    return found
