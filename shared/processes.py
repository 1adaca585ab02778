"""Processes of one kind as Temporal knows them: which run, what became of one, and starting one once more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import ClassVar

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from shared.database.engine import Database
from shared.database.lives import Lives


class Processes(ABC):
    """Lists, looks up and restarts the processes of what has one.

    Attributes:
        workflow: The type of the workflow.
        prefix: What its workflow ids have before the id of what it is of.
        kind: Names its breaks: ``recon.<kind>_missing`` and so on.
        lives: Which of them are over, by the facts.
    """

    workflow: ClassVar[str]
    prefix: ClassVar[str]
    kind: ClassVar[str]
    lives: ClassVar[Lives]

    def __init__(self, temporal: Client, database: Database) -> None:
        self._temporal = temporal
        self._database = database

    async def running(self) -> AsyncIterator[str]:
        """What has a running process, as far as the list of processes knows: it may be seconds behind."""
        query = f"WorkflowType = '{self.workflow}' AND ExecutionStatus = 'Running'"
        async for execution in self._temporal.list_workflows(query):
            yield execution.id.removeprefix(self.prefix)

    async def status(self, subject: str) -> WorkflowExecutionStatus | None:
        """What the process of an order or return is at, exactly; ``None`` when there is none."""
        try:
            return (await self._temporal.get_workflow_handle(self.prefix + subject).describe()).status
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise

    @abstractmethod
    async def restart(self, subject: str) -> None:
        """Start the process of what has none, or whose process did not come to its end; a running one goes on.

        Its steps answer with their first results and its calls look up what was done, so that it goes on where the
        facts are. What it was told before, it is told again by the next resumption of wake-ups.

        Raises:
            NotFound: there is no such order or return.
            Conflict: it is over.
        """

    @staticmethod
    @abstractmethod
    def order_of(subject: str) -> str:
        """The order that it is about."""
