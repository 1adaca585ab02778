"""What is known of a stack between programs: ``stack.json`` in its home, written only by its supervisor."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from signal import Signals

from pydantic import BaseModel, Field

from workers.stack.files import is_locked
from workers.stack.process import Target, end, find


class Phase(StrEnum):
    #: Some component has not been ready yet.
    STARTING = "starting"
    #: Every component has been ready; one that dies is started again.
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    #: A component did not start; everything was stopped again.
    FAILED = "failed"
    #: The supervisor was killed and left components behind; the next ``up`` or ``down`` ends them.
    ABANDONED = "abandoned"


class StackPlan(BaseModel, frozen=True):
    """What to run, beside what the settings say.

    Attributes:
        workers: Number of worker processes.
        sandbox_options: Further arguments of the sandbox partners.
        program: How the Python components are called.
    """

    workers: int = Field(default=1, ge=0)
    sandbox_options: tuple[str, ...] = ()
    program: tuple[str, ...] = (sys.executable, "-m", "workers.cli")


class StackAddresses(BaseModel, frozen=True):
    """Where a running stack is reached. Contains secrets, so it is not for logs: ``repr`` leaves them out."""

    home: Path
    database_url: str = Field(repr=False)
    temporal_address: str
    temporal_ui_url: str | None = None
    api_url: str
    sandbox_url: str
    partner_key: str = Field(repr=False)
    already_running: bool = False

    def environment(self) -> dict[str, str]:
        """Return the ``DOMS_*`` settings with which a program joins this stack."""
        return {
            "DOMS_HOME": str(self.home),
            "DOMS_DATABASE_URL": self.database_url,
            "DOMS_TEMPORAL_ADDRESS": self.temporal_address,
            "DOMS_API_URL": self.api_url,
            "DOMS_SANDBOX_URL": self.sandbox_url,
            "DOMS_PARTNER_KEY": self.partner_key,
        }


class ComponentState(BaseModel):
    """One component as its supervisor sees it, with all that is needed to end it when the supervisor is gone.

    Attributes:
        level: Distance from the components that need no other; higher ones are stopped first.
        started: When the process was created, which tells it from a later one with the same pid.
        starts: How often it was started in this run of the stack.
    """

    level: int
    one_shot: bool
    log: Path
    port: int | None = None
    address: str | None = None
    pid: int | None = None
    started: float | None = None
    starts: int = 0
    ready: bool = False
    exit_code: int | None = None
    stop_signal: Signals = Signals.SIGTERM
    grace: float = 10.0

    def target(self) -> Target | None:
        """Return its process as something to end, if it has one."""
        if self.pid is None:
            return None
        return Target(pid=self.pid, started=self.started, stop_signal=self.stop_signal)


class StartFailure(BaseModel, frozen=True):
    """Why a stack did not start."""

    component: str
    reason: str
    log: Path
    log_tail: str

    def __str__(self) -> str:
        return f"{self.component} {self.reason}; the end of {self.log}:\n{self.log_tail}"


class StackState(BaseModel):
    """The stack of one home.

    Attributes:
        ports: By name; kept when the stack stops, so that the next start finds its addresses again.
        postgres_data: Where the embedded Postgres keeps its data, which for root may lie outside the home.
    """

    phase: Phase = Phase.STOPPED
    plan: StackPlan = StackPlan()
    supervisor_pid: int | None = None
    supervisor_started: float | None = None
    ports: dict[str, int] = {}
    postgres_data: Path | None = None
    addresses: StackAddresses | None = None
    components: dict[str, ComponentState] = {}
    failure: StartFailure | None = None

    @classmethod
    def read(cls, home: Path) -> StackState:
        """Return the last state that was written for this home."""
        try:
            return cls.model_validate_json(state_file(home).read_text())
        except FileNotFoundError:
            return cls()

    def alive(self) -> set[str]:
        """Return the names of the components whose process runs."""
        return {name for name, part in self.components.items() if part.pid and find(part.pid, part.started)}


def supervised(home: Path) -> bool:
    """Say whether a supervisor holds this home."""
    return is_locked(lock_file(home))


def lock_file(home: Path) -> Path:
    return home / "run" / "supervisor.lock"


def state_file(home: Path) -> Path:
    return home / "stack.json"


def end_components(components: Iterable[ComponentState]) -> None:
    """End components, those that depend on others first, each level at once."""

    def level(part: ComponentState) -> int:
        return part.level

    for _, group in groupby(sorted(components, key=level, reverse=True), key=level):
        parts = [(part, target) for part in group if (target := part.target())]
        if parts:
            end([target for _, target in parts], grace=max(part.grace for part, _ in parts))
