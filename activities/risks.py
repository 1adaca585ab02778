"""How often nodes fail what they are asked to ship."""

from __future__ import annotations

from temporalio import activity

from activities.beating import beating
from shared.contracts import RiskActivities
from shared.database import risks
from shared.database.engine import Database
from shared.messages.risks import RiskResult, RiskStep


class Risks(RiskActivities):
    """The risk activities over the database. Repeated, they change nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn(name="risks.assess")
    async def assess(self, step: RiskStep) -> RiskResult:
        """Work every node's rates out anew; planners read them again with the network."""
        async with beating(), self._database.transaction() as connection:
            assessed = await risks.assess(connection, as_of=step.as_of)
        return RiskResult(nodes=assessed.nodes, changed=assessed.changed)
