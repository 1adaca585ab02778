"""Labels of packed parcels: bought, handed over, voided. A parcel may hold packages of several fulfillment orders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import consolidations, rate_shops
from shared.database.consolidations import Mate, Sealed
from shared.database.steps import note, open_case
from shared.domain.base import Instant, Model
from shared.domain.consolidation import share_cost
from shared.domain.orders import Address
from shared.domain.rate_shopping import Refusal
from shared.gateways.protocol import BuyLabel, Label
from shared.messages import FulfillmentCall, fulfillment_order_id

#: A purchase takes seconds. Who waits for one that has not got through by then looks it up and goes on with it.
TAKE_OVER_AFTER = timedelta(minutes=15)

_WORK = text("""
    SELECT f.node_id, coalesce(c.carrier, f.carrier) AS carrier, coalesce(c.service, f.service) AS service,
           f.shipped_at, f.ended_at, n.partner_id, o.ship_to
    FROM fulfillment_order f JOIN node n USING (node_id) JOIN orders o USING (order_id)
    LEFT JOIN consolidation_member m ON m.fulfillment_order_id = f.fulfillment_order_id AND m.left_at IS NULL
    LEFT JOIN consolidation c USING (consolidation_id)
    WHERE f.order_id = :order_id AND f.n = :n
""")
_COLUMNS = """
    SELECT package_id, fulfillment_order_id, package_no, weight_g, carrier, service, label_id, label_cost_minor,
           tracking_no, label_status, label_reference, shipped_at IS NOT NULL AS shipped
    FROM package
"""
#: Also packages of those who have left the parcel since its label was bought.
_PACKAGES = f"""
    {_COLUMNS}
    WHERE fulfillment_order_id = ANY(:owners) OR label_reference <> '' AND label_reference IN (
        SELECT label_reference FROM package WHERE fulfillment_order_id = ANY(:owners))
"""  # noqa: S608 - our own fragments
_READ = text(f"{_PACKAGES} ORDER BY label_reference, package_id")
_OF_LABEL = text(f"{_COLUMNS} WHERE label_reference = :reference ORDER BY package_id")
#: Tells how each package was before.
_PURCHASING = text(f"""
    WITH there AS ({_PACKAGES}), marked AS (
        UPDATE package
        SET label_status = 'purchasing', label_reference = CASE
            WHEN CAST(:consolidation_id AS text) <> '' AND parcel_no > 0
            THEN CAST(:consolidation_id AS text) || '/p' || parcel_no
            ELSE package_id END
        WHERE fulfillment_order_id = ANY(:owners) AND label_status = 'none'
        RETURNING package_id, label_reference
    )
    SELECT t.package_id, fulfillment_order_id, package_no, weight_g, carrier, service, label_id, label_cost_minor,
           tracking_no, label_status, coalesce(m.label_reference, t.label_reference) AS label_reference, shipped
    FROM there t LEFT JOIN marked m USING (package_id)
    ORDER BY label_reference, package_id
""")  # noqa: S608 - our own fragments
_LOCK_BEARERS = text("""
    SELECT FROM orders
    WHERE order_id IN (SELECT order_id FROM package WHERE label_reference = :reference)
    ORDER BY order_id FOR NO KEY UPDATE
""")
#: What waits for a label from the seller whose turn it is.
_UNLABELLED = text("""
    SELECT package_id, weight_g FROM package
    WHERE label_reference = :reference AND label_status = 'purchasing'
      AND :turn = coalesce((SELECT jsonb_array_length(refusals) FROM rate_shop WHERE reference = :reference), 0)
    ORDER BY package_id
""")
_LABELLED = text("""
    WITH bought AS (
        UPDATE package p
        SET label_status = 'completed', label_id = :label_id, label_cost_minor = s.cost_minor,
            tracking_no = :tracking_no, carrier = :carrier, service = :service
        FROM jsonb_to_recordset(CAST(:shares AS jsonb)) AS s(package_id text, cost_minor bigint)
        WHERE p.package_id = s.package_id
        RETURNING p.package_id, p.fulfillment_order_id, p.label_cost_minor
    )
    INSERT INTO timeline (order_id, actor, event, detail)
    SELECT f.order_id, 'doms', 'label bought', jsonb_strip_nulls(jsonb_build_object(
               'n', f.n, 'package_id', b.package_id, 'tracking_no', CAST(:tracking_no AS text),
               'cost_minor', b.label_cost_minor, 'of_minor', CAST(:of_minor AS bigint)))
    FROM bought b JOIN fulfillment_order f USING (fulfillment_order_id) ORDER BY b.package_id
""")
_VOIDED = text("""
    UPDATE package SET label_status = 'voided', label_cost_minor = CASE WHEN :free THEN 0 ELSE label_cost_minor END
    WHERE package_id = ANY(:package_ids)
""")
_COSTS = text("""
    UPDATE package p SET label_cost_minor = s.cost_minor
    FROM jsonb_to_recordset(CAST(:shares AS jsonb)) AS s(package_id text, cost_minor bigint)
    WHERE p.package_id = s.package_id
""")


class PackageRow(Model):
    """A packed package and its share of a label, if it has one."""

    package_id: str
    fulfillment_order_id: str
    package_no: int
    weight_g: int
    carrier: str
    service: str
    label_id: str | None
    label_cost_minor: int
    tracking_no: str
    label_status: str
    label_reference: str
    shipped: bool

    @property
    def bears(self) -> bool:
        """It travels under a label, or one is being bought for it."""
        return self.label_status in ("completed", "purchasing")

    @property
    def left_without(self) -> bool:
        """It has left under a label that is not ours, while one of ours was being bought."""
        return self.label_status == "partner" and self.label_reference != ""


class Parcel(Model):
    """What one label is for: a package, or those of several fulfillment orders that share it.

    Attributes:
        reference: What the label is bought under: the package's id, or ``{consolidation_id}/p{parcel_no}``.
    """

    reference: str
    packages: tuple[PackageRow, ...]

    @property
    def weight_g(self) -> int:
        return sum(package.weight_g for package in self._travelling())

    @property
    def gone(self) -> bool:
        """Nothing goes under its label: all of it has left without, or is not shipped."""
        return not self._travelling()

    @property
    def unsure(self) -> bool:
        """Its label may have been bought, or not: look before buying."""
        return any(package.label_status == "purchasing" for package in self.packages)

    @property
    def together(self) -> tuple[str, ...]:
        """The fulfillment orders whose goods go under the label, when there are several."""
        owners = sorted({package.fulfillment_order_id for package in self._labelled()})
        return tuple(owners) if len(owners) > 1 else ()

    def label(self) -> Label | None:
        """The label, if it was bought."""
        labelled = self._labelled()
        if not labelled or self.unsure:
            return None
        return Label(
            label_id=str(labelled[0].label_id),
            reference=self.reference,
            carrier=labelled[0].carrier,
            service=labelled[0].service,
            tracking_no=labelled[0].tracking_no,
            cost_minor=sum(package.label_cost_minor for package in labelled),
        )

    def _travelling(self) -> list[PackageRow]:
        return [package for package in self.packages if package.bears or package.label_status == "none"]

    def _labelled(self) -> list[PackageRow]:
        return [package for package in self.packages if package.label_id is not None]


class Labelling(Model):
    """A fulfillment order's parcels and what a carrier must know to label them.

    Attributes:
        mates: Fulfillment orders that share them and wait for the labels.
        wait_until: It is not yet time to buy; look again then, or when something has changed.
    """

    owner: str
    node_id: str
    partner_id: str
    carrier: str
    service: str
    ship_to: Address
    parcels: tuple[Parcel, ...] = ()
    mates: tuple[Mate, ...] = ()
    wait_until: Instant | None = None

    def purchase(self, parcel: Parcel) -> BuyLabel:
        return BuyLabel(
            reference=parcel.reference,
            carrier=self.carrier,
            service=self.service,
            from_node=self.node_id,
            ship_to=self.ship_to,
            weight_g=parcel.weight_g,
        )

    def own(self, parcel: Parcel) -> list[PackageRow]:
        """The packages of the parcel that are the fulfillment order's own."""
        return [package for package in parcel.packages if package.fulfillment_order_id == self.owner]


async def begin_labelling(
    connection: AsyncConnection, call: FulfillmentCall, *, now: datetime, comparing: bool = False
) -> Labelling:
    """Write down that labels are being bought; the last to pack buys for all who share its parcels.

    Args:
        comparing: Rates are compared before a purchase that begins now.
    """
    owner = fulfillment_order_id(call.order_id, call.n)
    await consolidations.lock_with_mates(connection, call.order_id, owner)
    sealed = await consolidations.seal(connection, owner, now=now, take_over_after=TAKE_OVER_AFTER)
    row: Any = (await connection.execute(_WORK, {"order_id": call.order_id, "n": call.n})).one()
    work = _work(owner, row)
    if row.ended_at is not None:
        return work
    if sealed.wait_until is not None:
        return work.model_copy(update={"wait_until": sealed.wait_until})
    parcels = await _mark(connection, sealed)
    if row.shipped_at is not None and not any(work.own(parcel) for parcel in parcels):
        return work.model_copy(update={"wait_until": now + TAKE_OVER_AFTER})
    if comparing:
        begun = [parcel.reference for parcel in parcels if not parcel.unsure and parcel.label() is None]
        await rate_shops.open_shops(connection, call.order_id, begun)
    if sealed.buys:
        return work.model_copy(update={"parcels": parcels, "mates": sealed.mates})
    own = tuple(parcel for parcel in parcels if work.own(parcel))
    if any(parcel.label() is None for parcel in own):
        return work.model_copy(update={"wait_until": now + TAKE_OVER_AFTER})
    return work.model_copy(update={"parcels": own})


async def _mark(connection: AsyncConnection, sealed: Sealed) -> tuple[Parcel, ...]:
    values = {"owners": list(sealed.owners), "consolidation_id": sealed.consolidation_id}
    parcels = _parcels((await connection.execute(_PURCHASING, values)).all())
    return tuple(parcel for parcel in parcels if not parcel.gone)


def _work(owner: str, row: Any) -> Labelling:
    return Labelling(
        owner=owner,
        node_id=row.node_id,
        partner_id=row.partner_id,
        carrier=row.carrier,
        service=row.service,
        ship_to=Address.model_validate(row.ship_to),
    )


def _parcels(rows: Iterable[Any]) -> tuple[Parcel, ...]:
    packages = [PackageRow.model_validate(dict(row._mapping)) for row in rows]
    return tuple(
        Parcel(reference=reference, packages=tuple(together))
        for reference, together in groupby(packages, key=lambda package: package.label_reference)
    )


async def record_label(connection: AsyncConnection, parcel: str, label: Label, *, turn: int = 0) -> Parcel:
    """A label was bought: each package of its parcel has it, and pays its share. Safe to repeat.

    Args:
        parcel: The parcel's reference.
        turn: How many sellers had refused when it was bought. When it is another's turn by now nobody gets the label.
    """
    packages = await _unlabelled(connection, parcel, turn)
    values = {
        "label_id": label.label_id,
        "tracking_no": label.tracking_no,
        "carrier": label.carrier,
        "service": label.service,
        "shares": _shares(packages, label.cost_minor),
        "of_minor": label.cost_minor if len(packages) > 1 else None,
    }
    await connection.execute(_LABELLED, values)
    return _parcels(await connection.execute(_OF_LABEL, {"reference": parcel}))[0]


async def record_refusal(connection: AsyncConnection, parcel: str, refusal: Refusal, *, turn: int) -> bool:
    """The seller whose turn it is refused, so it is the next one's; false when it is already, or somebody has sold."""
    if not await _unlabelled(connection, parcel, turn):
        return False
    await rate_shops.refuse(connection, parcel, turn, refusal)
    return True


async def _unlabelled(connection: AsyncConnection, parcel: str, turn: int) -> Sequence[Any]:
    await connection.execute(_LOCK_BEARERS, {"reference": parcel})
    return (await connection.execute(_UNLABELLED, {"reference": parcel, "turn": turn})).all()


def _shares(packages: Sequence[Any], cost_minor: int) -> str:
    costs = share_cost(cost_minor, [package.weight_g for package in packages]) if packages else []
    shares = zip(packages, costs, strict=True)
    return json.dumps([{"package_id": package.package_id, "cost_minor": cost} for package, cost in shares])


async def begin_voiding(connection: AsyncConnection, call: FulfillmentCall) -> Labelling:
    """The labels that a fulfillment order leaves unused: nothing of it has shipped under them.

    One that others travel under stays, and they pay for it.
    """
    owner = fulfillment_order_id(call.order_id, call.n)
    await consolidations.lock_with_mates(connection, call.order_id, owner)
    row: Any = (await connection.execute(_WORK, {"order_id": call.order_id, "n": call.n})).one()
    work = _work(owner, row)
    unused = []
    for parcel in _parcels(await connection.execute(_READ, {"owners": [owner]})):
        own = [package for package in work.own(parcel) if package.bears or package.left_without]
        others = [package for package in parcel.packages if package.bears and package not in own]
        if any(package.shipped and package.bears for package in own):
            continue
        if own and others:
            await _leave_to_others(connection, call, parcel, own, others)
        elif own:
            unused.append(parcel)
    return work.model_copy(update={"parcels": tuple(unused)})


async def _leave_to_others(
    connection: AsyncConnection,
    call: FulfillmentCall,
    parcel: Parcel,
    own: Sequence[PackageRow],
    others: Sequence[PackageRow],
) -> None:
    await _void(connection, own, free=True)
    cost_minor = sum(package.label_cost_minor for package in parcel.packages)
    await connection.execute(_COSTS, {"shares": _shares(others, cost_minor)})
    for package in own:
        await _note_void(connection, call, package.package_id, "left_to_who_shares_it")


async def record_void(connection: AsyncConnection, call: FulfillmentCall, parcel: Parcel, outcome: str) -> None:
    """A label was voided, or the carrier will not take it back: then somebody has to look."""
    if outcome not in ("voided", "unknown_label", "never_bought"):
        await open_case(connection, "label_not_voided", parcel.reference, call.order_id, outcome=outcome)
    else:
        await _void(connection, [package for package in parcel.packages if package.bears], free=False)
    await _note_void(connection, call, parcel.reference, outcome)


async def _void(connection: AsyncConnection, packages: Sequence[PackageRow], *, free: bool) -> None:
    package_ids = [package.package_id for package in packages]
    await connection.execute(_VOIDED, {"package_ids": package_ids, "free": free})


async def _note_void(connection: AsyncConnection, call: FulfillmentCall, package_id: str, outcome: str) -> None:
    await note(connection, call.order_id, "label voided", n=call.n, package_id=package_id, outcome=outcome)
