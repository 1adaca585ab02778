"""The sandbox's sales channels: they keep what they are told they may sell, in the order they are told it."""

from __future__ import annotations

from shared.gateways.channels.client import AvailabilityReceipt, AvailabilityUpdate
from workers.sandbox.world import Call, Refused, World


def take(world: World, call: Call, update: AvailabilityUpdate) -> AvailabilityReceipt:
    """Take an update. One that comes after a later one, or leaves one out, is refused: somebody sends out of turn."""
    last = world.store.one(
        "SELECT coalesce(max(sequence), 0) AS sequence FROM shelf WHERE partner = ? AND channel = ?",
        call.partner,
        update.channel,
    )
    if last is None or update.sequence != last["sequence"] + 1:
        raise Refused("out_of_sequence")
    for item in update.items:
        world.store.insert(
            "INSERT INTO shelf (partner, channel, sku, available, coming, sequence) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (partner, channel, sku) DO UPDATE"
            " SET available = excluded.available, coming = excluded.coming, sequence = excluded.sequence",
            call.partner,
            update.channel,
            item.sku,
            item.available,
            item.model_dump_json(include={"coming"}),
            update.sequence,
        )
    world.effect(call, "availability.told", call.reference, amount=len(update.items))
    return AvailabilityReceipt(reference=call.reference, sequence=update.sequence)
