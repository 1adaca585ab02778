"""The nodes and the carriers: told, asked, labelled, and what they said written down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio import activity

from activities.beating import beating
from activities.rate_shopping import Purchase, RateShopping
from shared.client import Doms
from shared.consolidations_client import wake_mates
from shared.contracts import FulfillmentActivities
from shared.database import consolidations, fulfillment, labels, rises, steps
from shared.database.consolidations import Mate, Regrouped
from shared.database.engine import Database
from shared.database.fulfillment import Release
from shared.database.labels import Labelling, Parcel
from shared.domain.rate_shopping import Refusal
from shared.errors import PartnerRefused, Unavailable
from shared.gateways.directory import Gateways
from shared.gateways.protocol import BuyLabel, CancelAnswer, CancelRequest, FulfillmentRequest, Label, SendLabel
from shared.messages import AskCancel, CallOutcome, FulfillmentCall
from shared.wakes_client import tell


class Fulfillment(FulfillmentActivities):
    """The fulfilment activities over the database, the nodes and the carriers.

    With ``doms``, orders that wait are woken when another's units are kept for them.
    """

    def __init__(self, database: Database, gateways: Gateways, doms: Doms | None = None) -> None:
        self._database = database
        self._gateways = gateways
        self._shopping = RateShopping(database, gateways)
        self._doms = doms

    @activity.defn(name="fulfillment.release")
    async def release(self, call: FulfillmentCall) -> CallOutcome:
        release = await self._begin_release(call)
        await self._wake("release_due", release.summon)
        if release.outcome is not None:
            return release.outcome
        assert release.request is not None
        try:
            await self._tell(release, release.request)
        except PartnerRefused as error:
            reason = str(error)[:200]
            return await self._give_back(call.order_id, lambda c: fulfillment.refuse_release(c, call, reason))
        async with self._database.statement() as connection:
            return await fulfillment.finish_release(connection, call, release.request.node_id)

    async def _begin_release(self, call: FulfillmentCall) -> Release:
        while True:
            with suppress(Regrouped):
                async with self._database.transaction() as connection:
                    return await fulfillment.begin_release(connection, call)

    async def _tell(self, release: Release, request: FulfillmentRequest) -> None:
        node = self._gateways.fulfillment(release.partner_id)
        if release.unsure and await node.find(request.reference, request.node_id, request.node_type):
            return
        await node.request(request)

    @activity.defn(name="fulfillment.ask_cancel")
    async def ask_cancel(self, call: AskCancel) -> CallOutcome:
        async with self._database.transaction() as connection:
            asking = await fulfillment.begin_ask(connection, call)
        if asking.outcome is not None:
            return asking.outcome
        assert asking.request is not None
        answer = await self._ask(asking.partner_id, asking.request)
        return await self._give_back(
            call.order_id,
            lambda c: fulfillment.finish_ask(c, call, accepted=answer.accepted, reason=answer.reason),
        )

    async def _give_back(self, order_id: str, step: Callable[[AsyncConnection], Awaitable[CallOutcome]]) -> CallOutcome:
        outcome, served = await rises.give_back(self._database, order_id, step)
        if self._doms is not None:
            await tell(self._database, self._doms, served)
        return outcome

    async def _ask(self, partner_id: str, request: CancelRequest) -> CancelAnswer:
        try:
            return await self._gateways.fulfillment(partner_id).cancel(request)
        except PartnerRefused as error:
            return CancelAnswer(accepted=False, reason=str(error)[:200])

    @activity.defn(name="fulfillment.buy_labels")
    async def buy_labels(self, call: FulfillmentCall) -> CallOutcome:
        async with self._database.transaction() as connection:
            work = await labels.begin_labelling(connection, call, now=datetime.now(UTC), comparing=self._shopping.on)
        if work.wait_until is not None:
            return CallOutcome(done=False, wait_until=work.wait_until)
        async with beating():
            outcome = await self._buy(work)
        await self._wake("label_due", work.mates)
        return outcome

    async def _buy(self, work: Labelling) -> CallOutcome:
        for parcel in work.parcels:
            try:
                labelled = parcel if parcel.label() else await self._label(work, parcel, unsure=parcel.unsure)
                await self._hand_over(work, labelled)
            except PartnerRefused as error:
                return CallOutcome(done=False, reason=str(error)[:200])
        return CallOutcome(done=True, units=sum(len(work.own(parcel)) for parcel in work.parcels))

    async def _label(self, work: Labelling, parcel: Parcel, *, unsure: bool) -> Parcel:
        """The parcel with its label, from the first seller that does not refuse: found there, or bought now.

        Args:
            unsure: An earlier attempt may have bought it there.

        Raises:
            PartnerRefused: the last seller refuses, too.
            Unavailable: it was sold too late and given back; try again.
        """
        purchase = await self._shopping.settled(work.owner, work.purchase(parcel))
        try:
            label = await self._sold(purchase.label, unsure=unsure)
        except PartnerRefused as error:
            if purchase.last:
                raise
            turned = await self._turn_to_next(parcel, purchase, error)
            return await self._label(work, parcel, unsure=not turned)
        async with self._database.transaction() as connection:
            labelled = await labels.record_label(connection, parcel.reference, label, turn=purchase.turn)
        standing = labelled.label()
        if standing is None or standing.label_id != label.label_id:
            await self._gateways.carrier(purchase.label.carrier).void_label(label.label_id)
        if standing is None:
            raise Unavailable(f"{parcel.reference} goes on without the label that {purchase.label.carrier} has sold")
        return labelled

    async def _sold(self, purchase: BuyLabel, *, unsure: bool) -> Label:
        carrier = self._gateways.carrier(purchase.carrier)
        label = await carrier.find_label(purchase.reference) if unsure else None
        if label is not None:
            return label
        try:
            return await carrier.buy_label(purchase)
        except PartnerRefused:
            # What was sent before may have been heard since: nobody else is asked while it can be there.
            label = await carrier.find_label(purchase.reference) if unsure else None
            if label is None:
                raise
            return label

    async def _turn_to_next(self, parcel: Parcel, purchase: Purchase, error: PartnerRefused) -> bool:
        seller = purchase.label
        refusal = Refusal(carrier=seller.carrier, service=seller.service, reason=str(error)[:200])
        async with self._database.transaction() as connection:
            return await labels.record_refusal(connection, parcel.reference, refusal, turn=purchase.turn)

    async def _hand_over(self, work: Labelling, parcel: Parcel) -> None:
        """Give the node the label for the fulfillment order's own packages; its mates see to theirs."""
        label = parcel.label()
        assert label is not None, "it was bought"
        for package in work.own(parcel):
            request = SendLabel(
                reference=work.owner,
                node_id=work.node_id,
                package_no=package.package_no,
                label=label,
                together=parcel.together,
            )
            await self._gateways.fulfillment(work.partner_id).send_label(request)

    async def _wake(self, kind: Literal["release_due", "label_due"], mates: Iterable[Mate]) -> None:
        if self._doms is not None:
            await wake_mates(self._doms, mates, kind)

    @activity.defn(name="fulfillment.leave_parcel")
    async def leave_parcel(self, call: FulfillmentCall) -> None:
        async with self._database.transaction() as connection:
            await steps.lock_order(connection, call.order_id)
            await consolidations.leave(connection, call.order_id, call.n, because="it is not shipped from here")
            waiting = await consolidations.waiting(connection, call.order_id)
        await self._wake("label_due", waiting)

    @activity.defn(name="fulfillment.void_labels")
    async def void_labels(self, call: FulfillmentCall) -> CallOutcome:
        async with self._database.transaction() as connection:
            work = await labels.begin_voiding(connection, call)
        async with beating():
            for parcel in work.parcels:
                await self._void(call, work, parcel)
        return CallOutcome(done=True, units=len(work.parcels))

    async def _void(self, call: FulfillmentCall, work: Labelling, parcel: Parcel) -> None:
        purchase = (await self._shopping.standing(work.purchase(parcel))).label
        carrier = self._gateways.carrier(purchase.carrier)
        bought = parcel.label() or await carrier.find_label(purchase.reference)
        try:
            outcome = await carrier.void_label(bought.label_id) if bought else "never_bought"
        except PartnerRefused as error:
            outcome = str(error)[:200]
        async with self._database.transaction() as connection:
            await labels.record_void(connection, call, parcel, str(outcome))
