"""The sandbox's payment provider.

Tokens choose what happens: ``tok_declined*`` and ``tok_insufficient*`` are never authorised,
``tok_decline_once*`` is declined under the first reference that asks, ``tok_capture_declined*`` is authorised
and then not paid. Every other token pays.
"""

from __future__ import annotations

import sqlite3
from datetime import timedelta

from shared.gateways.payments.client import Operation
from shared.gateways.protocol import Authorize, Capture, PaymentStatus, Refund, Void
from workers.sandbox.chance import digest
from workers.sandbox.world import Call, Refused, World

AUTHORIZATION_LIFE = timedelta(days=7)


def authorize(world: World, call: Call, asked: Authorize) -> Operation:
    reason = _decline_reason(world, call.reference, asked.token)
    if reason:
        return _declined(world, call, asked.amount_minor, reason)
    authorization_id = _id("auth", call)
    world.store.insert(
        "INSERT INTO authorization (id, partner, token, currency, amount) VALUES (?, ?, ?, ?, ?)",
        authorization_id,
        call.partner,
        asked.token,
        asked.currency,
        asked.amount_minor,
    )
    world.effect(call, "payment.authorized", call.reference, amount=asked.amount_minor)
    return Operation(
        id=authorization_id,
        reference=call.reference,
        status=PaymentStatus.SUCCEEDED,
        amount_minor=asked.amount_minor,
        expires_at=world.now() + AUTHORIZATION_LIFE,
    )


def capture(world: World, call: Call, asked: Capture) -> Operation:
    held = _authorization(world, call, asked.authorization_id, asked.currency)
    if held["voided"]:
        raise Refused("authorization_voided")
    if held["token"].startswith("tok_capture_declined"):
        return _declined(world, call, asked.amount_minor, "card_declined")
    if held["captured"] + asked.amount_minor > held["amount"]:
        raise Refused("exceeds_authorized")
    world.store.execute(
        "UPDATE authorization SET captured = captured + ? WHERE id = ?", asked.amount_minor, asked.authorization_id
    )
    return _done(world, call, "payment.captured", on=asked.authorization_id, amount_minor=asked.amount_minor)


def void(world: World, call: Call, asked: Void) -> Operation:
    held = _authorization(world, call, asked.authorization_id)
    if held["voided"]:
        return _operation(call, 0)
    world.store.execute("UPDATE authorization SET voided = 1 WHERE id = ?", asked.authorization_id)
    released = held["amount"] - held["captured"]
    return _done(world, call, "payment.voided", on=asked.authorization_id, amount_minor=released)


def refund(world: World, call: Call, asked: Refund) -> Operation:
    held = _authorization(world, call, asked.authorization_id, asked.currency)
    if held["refunded"] + asked.amount_minor > held["captured"]:
        raise Refused("exceeds_captured")
    world.store.execute(
        "UPDATE authorization SET refunded = refunded + ? WHERE id = ?", asked.amount_minor, asked.authorization_id
    )
    return _done(world, call, "payment.refunded", on=asked.authorization_id, amount_minor=asked.amount_minor)


def _decline_reason(world: World, reference: str, token: str) -> str:
    if token.startswith("tok_declined"):
        return "card_declined"
    if token.startswith("tok_insufficient"):
        return "insufficient_funds"
    if token.startswith("tok_decline_once"):
        first = world.store.execute("INSERT OR IGNORE INTO first_decline VALUES (?, ?)", token, reference)
        return "card_declined" if first else ""
    return ""


def _authorization(world: World, call: Call, authorization_id: str, currency: str = "") -> sqlite3.Row:
    held = world.store.one("SELECT * FROM authorization WHERE id = ? AND partner = ?", authorization_id, call.partner)
    if held is None:
        raise Refused("unknown_authorization", 404)
    if currency and currency != held["currency"]:
        raise Refused("currency_mismatch")
    return held


def _declined(world: World, call: Call, amount_minor: int, reason: str) -> Operation:
    world.effect(call, "payment.declined", call.reference, amount=amount_minor)
    return Operation(
        id=_id("dec", call), reference=call.reference, status=PaymentStatus.DECLINED, amount_minor=0, reason=reason
    )


def _done(world: World, call: Call, effect: str, *, on: str, amount_minor: int) -> Operation:
    world.effect(call, effect, on, amount=amount_minor)
    return _operation(call, amount_minor)


def _operation(call: Call, amount_minor: int) -> Operation:
    return Operation(
        id=_id("op", call), reference=call.reference, status=PaymentStatus.SUCCEEDED, amount_minor=amount_minor
    )


def _id(prefix: str, call: Call) -> str:
    return f"{prefix}_{digest(call.partner, call.reference)[:24]}"
