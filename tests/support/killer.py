"""Connections that die under load."""

from __future__ import annotations

import asyncio

import psycopg


class Killer:
    """Ends a random connection of the system each time so many orders are done."""

    def __init__(self, url: str, *, every: int) -> None:
        self._url, self._every, self._done = url, every, 0
        self._due = asyncio.Event()
        self.killed = 0

    def count(self) -> None:
        self._done += 1
        if self._done % self._every == 0:
            self._due.set()

    async def __aenter__(self) -> Killer:
        self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._connection.close()

    async def _run(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            ended = await self._connection.execute("""
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'doms' AND xact_start IS NOT NULL
                ORDER BY random() LIMIT 1
            """)
            self.killed += ended.rowcount
