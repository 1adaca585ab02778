"""Tells DOMS what happened: signed messages, sent until they are taken."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache, partial

from shared.errors import PartnerUnavailable
from shared.gateways.guard import Limits
from shared.gateways.http import Answer, HttpClient, retry_after
from shared.gateways.signing import secret_for, sign
from workers.sandbox.store import Action

SENDERS = 8
_LIMITS = Limits(deadline=15.0, in_flight=SENDERS)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0


class Messenger:
    """Posts messages with a few senders at a time, so that a slow or dead DOMS is not flooded.

    Args:
        durable: Awaited before anything is sent: what is told must be known after a crash, too.
        settled: Called with a message that is through, and whether it was taken or refused for good.
        postponed: Called with a message to be tried again, and in how many seconds.
    """

    def __init__(
        self,
        api_url: str,
        partner_key: str,
        *,
        durable: Callable[[], Awaitable[None]],
        settled: Callable[[Action, bool], None],
        postponed: Callable[[Action, float], None],
    ) -> None:
        self._http = HttpClient(api_url, _LIMITS)
        self._secret = cache(partial(secret_for, partner_key))
        self._durable = durable
        self._settled = settled
        self._postponed = postponed
        self._waiting: asyncio.Queue[Action] = asyncio.Queue()

    def submit(self, action: Action) -> None:
        """Send a message: the action's ``reference`` is its id and ``payload`` its body."""
        self._waiting.put_nowait(action)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as senders:
                for _ in range(SENDERS):
                    senders.create_task(self._send_all())
        finally:
            await self._http.aclose()

    async def _send_all(self) -> None:
        while True:
            action = await self._waiting.get()
            await self._durable()
            try:
                self._conclude(action, await self._send(action))
            except PartnerUnavailable:
                self._postponed(action, _pause(action.attempts))
            await self._durable()

    async def _send(self, action: Action) -> Answer:
        body = action.payload.encode()
        headers = sign(self._secret(action.partner), action.reference, datetime.now(UTC), body)
        headers["content-type"] = "application/json"
        return await self._http.send("POST", f"/v1/partners/{action.partner}/messages", body=body, headers=headers)

    def _conclude(self, action: Action, answer: Answer) -> None:
        if answer.ok:
            self._settled(action, True)
        elif 400 <= answer.status < 500 and answer.status not in (408, 429):
            self._settled(action, False)
        else:
            wait = retry_after(answer.headers.get("retry-after", ""), longest=_LONGEST_PAUSE)
            self._postponed(action, wait if wait is not None else _pause(action.attempts))


def _pause(attempts: int) -> float:
    longest: float = min(_FIRST_PAUSE * 2 ** min(attempts, 10), _LONGEST_PAUSE)
    return longest * (0.5 + random.random()) / 1.5
