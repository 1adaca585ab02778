"""The sandbox's carriers: labels, and the scans of the parcels that carry them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from shared.domain.quotes import CarrierQuote, destination_of
from shared.gateways.carriers.client import Quoted, Voided, VoidLabel
from shared.gateways.partner_messages import TrackingStatus, TrackingUpdated
from shared.gateways.protocol import BuyLabel, Label, QuoteRequest, VoidOutcome
from workers.sandbox.chance import digest, draw
from workers.sandbox.config import Rates
from workers.sandbox.store import Action
from workers.sandbox.world import Call, Refused, World

_OUTCOMES = {"bought": VoidOutcome.VOIDED, "voided": VoidOutcome.VOIDED, "used": VoidOutcome.ALREADY_USED}


class Offer(NamedTuple):
    """A service that is quoted: the base price in minor units, what each kilogram adds, and working days on the way."""

    base_minor: int
    kilogram_minor: int
    transit_days: int


#: By carrier; whoever is not named quotes ``ground`` alone.
_OFFERS: Mapping[str, Mapping[str, Offer]] = {
    "parcelpost": {"ground": Offer(470, 65, 4), "priority": Offer(820, 120, 2)},
    "swiftship": {"economy": Offer(500, 60, 4), "two-day": Offer(1150, 150, 2), "overnight": Offer(2400, 270, 1)},
}
_GROUND = {"ground": Offer(500, 80, 4)}


def quote(world: World, call: Call, asked: QuoteRequest) -> Quoted:
    """Say what a parcel costs by each service: another price for each lane and weight, always the same one."""
    if asked.country == "AQ":
        raise Refused("undeliverable_address")
    expires_at = world.now() + timedelta(seconds=world.config.pace.quote_lasts)
    quotes = tuple(
        CarrierQuote(
            quote_id=f"qte_{digest(call.partner, call.reference, service)[:24]}",
            carrier=call.partner,
            service=service,
            price_minor=quoted_minor(world.config.seed, call.partner, service, asked),
            currency="USD",
            transit_days=offer.transit_days,
            expires_at=expires_at,
        )
        for service, offer in _OFFERS.get(call.partner, _GROUND).items()
    )
    for one in quotes:
        world.store.insert(
            "INSERT INTO quote VALUES (?, ?, ?, ?, ?)",
            one.quote_id,
            call.partner,
            one.service,
            one.price_minor,
            one.expires_at.timestamp(),
        )
    return Quoted(reference=call.reference, quotes=quotes)


def quoted_minor(seed: int, carrier: str, service: str, asked: QuoteRequest) -> int:
    """The price: the service's own, up to a fifth dearer or cheaper by where it goes."""
    offer = _OFFERS.get(carrier, _GROUND)[service]
    lane = f"{carrier}/{service}/{asked.from_node}/{destination_of(asked.country, asked.postal_code)}"
    swing = 0.8 + 0.4 * draw(seed, "quote", lane)
    return round(swing * (offer.base_minor + offer.kilogram_minor * -(-asked.weight_g // 1000)))


def buy(world: World, call: Call, asked: BuyLabel) -> Label:
    """Sell a label to DOMS, for what was quoted while the quote lasts."""
    if asked.ship_to.country == "AQ":
        raise Refused("undeliverable_address")
    price = _quoted(world, call, asked)
    return issue(world, call, asked.service, asked.weight_g, effect="label.bought", cost_minor=price)


def _quoted(world: World, call: Call, asked: BuyLabel) -> int | None:
    row = world.store.one(
        "SELECT price FROM quote WHERE quote_id = ? AND partner = ? AND service = ? AND expires > ?",
        asked.quote_id,
        call.partner,
        asked.service,
        world.now().timestamp(),
    )
    return row["price"] if row else None


def issue(
    world: World, call: Call, service: str, weight_g: int, *, effect: str, cost_minor: int | None = None
) -> Label:
    """Make a label, for DOMS or for a partner that ships on its own account; without a price the usual one is asked."""
    name = digest(call.partner, call.reference)
    label = Label(
        label_id=f"lbl_{name[:24]}",
        reference=call.reference,
        carrier=call.partner,
        service=service,
        tracking_no=f"{call.partner[:2].upper()}{int(name, 16) % 10**16:016d}",
        cost_minor=_cost(service, weight_g) if cost_minor is None else cost_minor,
    )
    world.store.insert(
        "INSERT INTO label VALUES (?, ?, ?, ?, 'bought')",
        label.label_id,
        call.partner,
        call.reference,
        label.tracking_no,
    )
    world.effect(call, effect, label.label_id, amount=label.cost_minor)
    return label


def void(world: World, call: Call, asked: VoidLabel) -> Voided:
    label = world.store.one("SELECT state FROM label WHERE label_id = ? AND partner = ?", asked.label_id, call.partner)
    outcome = _OUTCOMES[label["state"]] if label else VoidOutcome.UNKNOWN_LABEL
    if world.store.execute("UPDATE label SET state = 'voided' WHERE label_id = ? AND state = 'bought'", asked.label_id):
        world.effect(call, "label.voided", asked.label_id)
    return Voided(reference=call.reference, outcome=outcome)


def hand_over(world: World, call: Call, label: Label) -> None:
    """A parcel leaves a node: use its label up, and plan its scans.

    A label that cannot be used any more is logged as ``label.misused`` and its parcel is never scanned.
    """
    used = world.store.execute(
        "UPDATE label SET state = 'used' WHERE label_id = ? AND partner = ? AND state = 'bought'",
        label.label_id,
        label.carrier,
    )
    carrier = Call(partner=label.carrier, reference=call.reference)
    world.effect(carrier, "label.used" if used else "label.misused", label.label_id)
    if used:
        _plan_scans(world, label)


class Scan(NamedTuple):
    """One scan. Times are in parts of the transit time: when it is made, and when it is sent."""

    status: TrackingStatus
    made: float
    sent: float


def scans(seed: int, rates: Rates, tracking_no: str) -> list[Scan]:
    """What a parcel goes through, the same for the same number."""
    late_first = draw(seed, "scan_reorder", tracking_no) < rates.scan_reorder
    trouble = draw(seed, "delivery_exception", tracking_no) < rates.delivery_exception
    end = 1.5 if trouble else 1.0
    plan = [Scan(TrackingStatus.IN_TRANSIT, 0.3, end + 0.1 if late_first else 0.3)]
    if trouble:
        plan.append(Scan(TrackingStatus.EXCEPTION, 0.6, 0.6))
    if draw(seed, "out_for_delivery", tracking_no) < rates.out_for_delivery:
        plan.append(Scan(TrackingStatus.OUT_FOR_DELIVERY, end - 0.2, end - 0.2))
    plan.append(Scan(TrackingStatus.DELIVERED, end, end))
    return plan


def scanned(world: World, action: Action) -> None:
    """Make a scan and tell DOMS, perhaps late, perhaps twice."""
    status, late = json.loads(action.payload)
    call = Call(partner=action.partner, reference="")
    if status == TrackingStatus.DELIVERED:
        world.effect(call, "parcel.delivered", action.reference)
    message = TrackingUpdated(
        message_id=f"tracking:{digest(action.partner, action.reference, status)[:32]}",
        reference=action.reference,
        at=world.now(),
        status=status,
    )
    twice = draw(world.config.seed, "scan_duplicate", action.reference) < world.config.rates.scan_duplicate
    for _ in range(2 if twice else 1):
        world.tell(action.partner, message.message_id, message, delay=late)


def _plan_scans(world: World, label: Label) -> None:
    transit = world.config.pace.transit
    swing = world.config.pace.jitter * (2 * draw(world.config.seed, "transit", label.tracking_no) - 1)
    transit *= 1 + swing  # one swing for all, or scans would overtake each other unasked
    for scan in scans(world.config.seed, world.config.rates, label.tracking_no):
        payload = json.dumps([scan.status, (scan.sent - scan.made) * transit])
        world.agenda.add(scan.made * transit, "scan", label.carrier, label.tracking_no, payload)


def _cost(service: str, weight_g: int) -> int:
    factor = {"overnight": 4, "expedited": 2}.get(service, 1)
    return factor * (500 + 80 * -(-max(weight_g, 1) // 1000))
