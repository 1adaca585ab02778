"""Warehouses told of the transfers that are on their way to them."""

from __future__ import annotations

from temporalio import activity

from activities.beating import beating
from shared.contracts import TransferActivities
from shared.database import transfer_advices
from shared.database.engine import Database
from shared.errors import PartnerRefused, PartnerUnavailable
from shared.gateways.directory import Gateways
from shared.gateways.protocol import TransferAdvice
from shared.gateways.supply.x12_943 import write_transfer_advice
from shared.messages.transfers import AdviceResult


class Transfers(TransferActivities):
    """The transfer activities over the database and the nodes' partners. Repeated, they send the very same again."""

    def __init__(self, database: Database, gateways: Gateways) -> None:
        self._database = database
        self._gateways = gateways

    @activity.defn(name="transfers.advise")
    async def advise(self) -> AdviceResult:
        """Tell every warehouse that does not know yet; one that is away is told the next time."""
        result, after = AdviceResult(), ""
        async with beating():
            while page := await self._page(after):
                for inbound_id, partner_id in page:
                    told = await self._tell(inbound_id, partner_id)
                    result = result.model_copy(update={"told": result.told + told, "left": result.left + (not told)})
                after = page[-1][0]
        return result

    async def _page(self, after: str) -> list[tuple[str, str]]:
        async with self._database.reading() as connection:
            return await transfer_advices.read_open(connection, after=after)

    async def _tell(self, inbound_id: str, partner_id: str) -> bool:
        async with self._database.reading() as connection:
            departed = await transfer_advices.read_departed(connection, inbound_id)
        try:
            advice = TransferAdvice(
                reference=inbound_id, node_id=departed.to_node, interchange=write_transfer_advice(departed)
            )
            await self._gateways.fulfillment(partner_id).advise_transfer(advice)
        except (PartnerUnavailable, PartnerRefused, ValueError) as error:
            await self._note(inbound_id, str(error), for_person=not isinstance(error, PartnerUnavailable))
            return False
        async with self._database.statement() as connection:
            await transfer_advices.mark_sent(connection, inbound_id)
        return True

    async def _note(self, inbound_id: str, fault: str, *, for_person: bool) -> None:
        async with self._database.transaction() as connection:
            await transfer_advices.mark_failed(connection, inbound_id, fault, for_person=for_person)
