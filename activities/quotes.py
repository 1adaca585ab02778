"""Carriers asked again for what plans go by."""

from __future__ import annotations

from temporalio import activity

from activities.beating import beating
from shared.contracts import QuoteActivities
from shared.database import quotes
from shared.database.engine import Database
from shared.messages.quotes import QuoteRefreshResult, QuoteRefreshStep
from shared.quotes_client import Quoting

#: Lanes asked about at one time: fewer than a partner's bulkhead holds, so that none is turned away by it.
_AT_ONCE = 16
#: Seconds a carrier has; nobody waits for it here.
_ANSWER_WITHIN = 5.0


class Quotes(QuoteActivities):
    """The quote activities over the database and the carriers. Repeated, they ask for what is still missing."""

    def __init__(self, database: Database, quoting: Quoting) -> None:
        self._database = database
        self._quoting = quoting

    @activity.defn(name="quotes.refresh")
    async def refresh(self, step: QuoteRefreshStep) -> QuoteRefreshResult:
        """Ask for every quote that is missing or ends soon; forget what has ended and what nobody plans for."""
        since = step.as_of - step.asked_within
        async with beating():
            async with self._database.reading() as connection:
                lanes = await quotes.due_lanes(
                    connection, asked_since=since, lasting_until=step.as_of + 2 * step.every, limit=step.limit
                )
            answered = unanswered = 0
            for start in range(0, len(lanes), _AT_ONCE):
                told = await self._quoting.ask(lanes[start : start + _AT_ONCE], within=_ANSWER_WITHIN)
                answered, unanswered = answered + len(told.quotes), unanswered + told.unanswered
            async with self._database.statement() as connection:
                expired = await quotes.forget(connection, as_of=step.as_of, asked_since=since)
        return QuoteRefreshResult(lanes=len(lanes), quotes=answered, unanswered=unanswered, expired=expired)
