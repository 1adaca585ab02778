"""The nodes and the carriers: told, asked, labelled, and what they said written down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio import activity

from shared import supply_client
from shared.client import Doms
from shared.contracts import FulfillmentActivities
from shared.database import fulfillment, labels, rises
from shared.database.engine import Database
from shared.database.fulfillment import Release
from shared.database.labels import Labelling, PackageRow
from shared.errors import PartnerRefused
from shared.gateways.directory import Gateways
from shared.gateways.protocol import CancelAnswer, CancelRequest, FulfillmentRequest, Label, SendLabel
from shared.messages import AskCancel, CallOutcome, FulfillmentCall, fulfillment_order_id


class Fulfillment(FulfillmentActivities):
    """The fulfilment activities over the database, the nodes and the carriers.

    With ``doms``, orders that wait are woken when another's units are kept for them.
    """

    def __init__(self, database: Database, gateways: Gateways, doms: Doms | None = None) -> None:
        self._database = database
        self._gateways = gateways
        self._doms = doms

    @activity.defn(name="fulfillment.release")
    async def release(self, call: FulfillmentCall) -> CallOutcome:
        async with self._database.transaction() as connection:
            release = await fulfillment.begin_release(connection, call)
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
            await supply_client.wake_served(self._doms, served)
        return outcome

    async def _ask(self, partner_id: str, request: CancelRequest) -> CancelAnswer:
        try:
            return await self._gateways.fulfillment(partner_id).cancel(request)
        except PartnerRefused as error:
            return CancelAnswer(accepted=False, reason=str(error)[:200])

    @activity.defn(name="fulfillment.buy_labels")
    async def buy_labels(self, call: FulfillmentCall) -> CallOutcome:
        async with self._database.transaction() as connection:
            work = await labels.read_labelling(connection, call, purchase=True)
        for package in work.packages if work.live else ():
            try:
                label = await self._label(call, work, package)
                await self._hand_over(call, work, package, label)
            except PartnerRefused as error:
                return CallOutcome(done=False, reason=str(error)[:200])
            activity.heartbeat(package.package_no)
        return CallOutcome(done=True, units=len(work.packages))

    async def _label(self, call: FulfillmentCall, work: Labelling, package: PackageRow) -> Label:
        if package.label_status == "completed":
            return package.label()
        carrier = self._gateways.carrier(work.carrier)
        label = await carrier.find_label(package.package_id) if package.label_status == "purchasing" else None
        label = label or await carrier.buy_label(work.purchase(package))
        async with self._database.transaction() as connection:
            await labels.record_label(connection, call, label)
        return label

    async def _hand_over(self, call: FulfillmentCall, work: Labelling, package: PackageRow, label: Label) -> None:
        request = SendLabel(
            reference=fulfillment_order_id(call.order_id, call.n),
            node_id=work.node_id,
            package_no=package.package_no,
            label=label,
        )
        await self._gateways.fulfillment(work.partner_id).send_label(request)

    @activity.defn(name="fulfillment.void_labels")
    async def void_labels(self, call: FulfillmentCall) -> CallOutcome:
        async with self._database.transaction() as connection:
            work = await labels.read_labelling(connection, call, purchase=False)
        unused = [package for package in work.packages if package.label_status in ("completed", "purchasing")]
        for package in unused if not work.ended else ():
            await self._void(call, work, package)
            activity.heartbeat(package.package_no)
        return CallOutcome(done=True, units=len(unused))

    async def _void(self, call: FulfillmentCall, work: Labelling, package: PackageRow) -> None:
        carrier = self._gateways.carrier(work.carrier)
        bought = package.label() if package.label_id else await carrier.find_label(package.package_id)
        try:
            outcome = await carrier.void_label(bought.label_id) if bought else "never_bought"
        except PartnerRefused as error:
            outcome = str(error)[:200]
        async with self._database.transaction() as connection:
            await labels.record_void(connection, call, package.package_id, str(outcome))
