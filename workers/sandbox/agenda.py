"""What the outside world will do, and when. Rows in the store; a heap in memory tells which is next."""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import Callable

from workers.sandbox.store import Action, Store

logger = logging.getLogger(__name__)

#: Handlers are synchronous: an action, all it causes and its removal are one unit in the store.
Handler = Callable[[Action], None]

_BATCH = 100
_AFTER_A_FAULT = 5.0


class Agenda:
    """Runs each due action once. Survives a restart: what is a row is still to do.

    Actions named in ``handlers`` are done when their handler returns. All others are handed to ``elsewhere``,
    which calls :meth:`done` or :meth:`postpone` when it is through.
    """

    def __init__(self, store: Store, elsewhere: Callable[[Action], None]) -> None:
        self.handlers: dict[str, Handler] = {}
        self._store = store
        self._elsewhere = elsewhere
        self._wake = asyncio.Event()
        self._heap = [(row["due"], row["id"]) for row in store.all("SELECT due, id FROM action")]
        heapq.heapify(self._heap)

    def add(self, delay: float, name: str, partner: str, reference: str, payload: str = "") -> None:
        due = time.time() + delay
        action_id = self._store.insert(
            "INSERT INTO action (due, name, partner, reference, payload) VALUES (?, ?, ?, ?, ?)",
            due,
            name,
            partner,
            reference,
            payload,
        )
        self._push(due, action_id)

    def drop(self, partner: str, reference: str) -> None:
        """Forget what was to be done about a reference. Its entries in the heap will find no row."""
        self._store.execute(
            "DELETE FROM action WHERE partner = ? AND reference = ? AND name <> 'post'", partner, reference
        )

    def done(self, action: Action) -> None:
        self._store.execute("DELETE FROM action WHERE id = ?", action.id)

    def postpone(self, action: Action, delay: float) -> None:
        due = time.time() + delay
        self._store.execute("UPDATE action SET due = ?, attempts = attempts + 1 WHERE id = ?", due, action.id)
        self._push(due, action.id)

    async def run(self) -> None:
        while True:
            await self._until_due()
            for due, action_id in self._pop_due():
                # An entry without its row was dropped, postponed or rolled back; an id rolled back is used again.
                row = self._store.one("SELECT * FROM action WHERE id = ? AND due = ?", action_id, due)
                if row is not None:
                    self._perform(Action(*row))
            await self._store.commit()

    def _push(self, due: float, action_id: int) -> None:
        heapq.heappush(self._heap, (due, action_id))
        if self._heap[0][1] == action_id:
            self._wake.set()

    async def _until_due(self) -> None:
        while not self._heap or self._heap[0][0] > time.time():
            self._wake.clear()
            timeout = self._heap[0][0] - time.time() if self._heap else None
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                return

    def _pop_due(self) -> list[tuple[float, int]]:
        now = time.time()
        due: list[tuple[float, int]] = []
        while self._heap and self._heap[0][0] <= now and len(due) < _BATCH:
            due.append(heapq.heappop(self._heap))
        return due

    def _perform(self, action: Action) -> None:
        handler = self.handlers.get(action.name)
        if handler is None:
            self._elsewhere(action)
            return
        try:
            with self._store.unit():
                handler(action)
                self.done(action)
        except Exception:
            # One faulty action must not stop the world; it stays visible as pending.
            logger.exception("action %s of %s failed", action.name, action.partner)
            self.postpone(action, _AFTER_A_FAULT)
