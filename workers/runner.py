"""How workflows are run: in Temporal's sandbox, without the two things in it that cost most and guard nothing of ours.

Our payload converter and codec treat all payloads alike, so neither wants to know which command a payload belongs
to; the sandbox would be entered several times for each of them to find that out. And it would build the order's
workflow class anew for every order, although the class is only a name for modules that are shared between orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from temporalio.converter import SerializationContext, StorageDriverStoreContext
from temporalio.worker import (
    WorkflowInstance,
    WorkflowInstanceDetails,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import Info

_RESTRICTIONS = SandboxRestrictions.default.with_passthrough_modules("workflows.order")


class PlainPayloadRunner(WorkflowRunner):
    """Runs workflows in the sandbox, for a data converter that makes no difference between payloads."""

    def __init__(self) -> None:
        self._sandbox = SandboxedWorkflowRunner(restrictions=_RESTRICTIONS)

    def prepare_workflow(self, defn: Any) -> None:
        self._sandbox.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _Instance(self._sandbox.create_instance(det))

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        self._sandbox.set_worker_level_failure_exception_types(types)


class _Instance(WorkflowInstance):
    def __init__(self, sandboxed: WorkflowInstance) -> None:
        self._sandboxed = sandboxed

    def activate(self, act: Any) -> Any:
        return self._sandboxed.activate(act)

    def get_serialization_context(self, command_info: Any) -> SerializationContext | None:
        return None

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> Info:
        return self._sandboxed.get_info()

    def get_thread_id(self) -> int | None:
        return self._sandboxed.get_thread_id()
