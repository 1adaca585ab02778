"""Start, stop and look at the stack of a home, from whatever program wants to: the CLI, the demo, a test."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from pydantic import SecretStr

from shared.settings import Settings
from workers.stack.files import exclusive_lock, write_privately
from workers.stack.process import StackError, Target, end, tail, wait_until
from workers.stack.state import (
    Phase,
    StackAddresses,
    StackPlan,
    StackState,
    end_components,
    lock_file,
    state_file,
    supervised,
)
from workers.stack.supervisor import ALREADY_SUPERVISED

_START_SECONDS = 300.0
#: Longer than the graces of all levels together, after which the supervisor itself kills.
_STOP_SECONDS = 120.0


def up(
    settings: Settings,
    *,
    workers: int = 2,
    sandbox_options: Sequence[str] = (),
    extra_env: Mapping[str, str] | None = None,
    program: Sequence[str] | None = None,
) -> StackAddresses:
    """Start the stack in the background and wait until all of it is ready.

    A stack that already runs is left as it is; ``already_running`` of the result says so.

    Raises:
        StackError: A component did not start; the message quotes its log. Everything was stopped again.
    """
    home = _make(settings.home)
    plan = StackPlan(workers=workers, sandbox_options=tuple(sandbox_options))
    if program is not None:
        plan = plan.model_copy(update={"program": tuple(program)})
    if supervised(home):
        return _join(home)
    supervisor = _spawn(home, plan, _environment(settings) | {"DOMS_HOME": str(home)} | dict(extra_env or {}))
    try:
        return _await_start(home, supervisor)
    except BaseException:
        if supervisor.poll() is None:
            end([Target(pid=supervisor.pid)], grace=_STOP_SECONDS)
        raise


def down(settings: Settings) -> bool:
    """Stop the stack; its data stays. False when nothing ran. A killed supervisor's components are ended too."""
    home = settings.home.resolve()
    before = status(settings)
    if before.supervisor_pid is not None and supervised(home):
        supervisor = Target(pid=before.supervisor_pid, started=before.supervisor_started)
        end([supervisor], grace=_STOP_SECONDS)
    after = status(settings)
    if after.phase is Phase.ABANDONED:
        _clean_up(home)
    return before.phase not in {Phase.STOPPED, Phase.FAILED}


def status(settings: Settings) -> StackState:
    """Return what is known of the stack, corrected by which of its processes really live."""
    home = settings.home.resolve()
    state = StackState.read(home)
    if not supervised(home) and state.phase not in {Phase.STOPPED, Phase.FAILED}:
        state.phase = Phase.ABANDONED if state.alive() else Phase.STOPPED
    return state


@contextlib.asynccontextmanager
async def running_stack(
    settings: Settings,
    *,
    workers: int = 2,
    sandbox_options: Sequence[str] = (),
    extra_env: Mapping[str, str] | None = None,
    program: Sequence[str] | None = None,
) -> AsyncIterator[StackAddresses]:
    """Run the stack during the block. One that ran before is used, and still runs afterwards."""
    addresses = await asyncio.to_thread(
        up,
        settings,
        workers=workers,
        sandbox_options=sandbox_options,
        extra_env=extra_env,
        program=program,
    )
    try:
        yield addresses
    finally:
        if not addresses.already_running:
            await asyncio.to_thread(down, settings)


def _make(home: Path) -> Path:
    home = home.resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / "logs").mkdir(mode=0o700, exist_ok=True)
        (home / "run").mkdir(mode=0o700, exist_ok=True)
    except PermissionError as error:
        raise StackError(f"cannot write to {home}: set DOMS_HOME to a directory of your own") from error
    if not os.access(home / "run", os.W_OK):
        raise StackError(f"{home} belongs to another user: set DOMS_HOME to a directory of your own")
    return home


def _environment(settings: Settings) -> dict[str, str]:
    """Return the settings that were given, from wherever, as the environment of another process."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return dict(os.environ) | {
        f"DOMS_{name.upper()}": _text(value) for name, value in given.items() if value is not None
    }


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _spawn(home: Path, plan: StackPlan, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with (home / "logs" / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "workers.stack", plan.model_dump_json()],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _await_start(home: Path, supervisor: subprocess.Popen[bytes]) -> StackAddresses:
    def settled() -> bool:
        return supervisor.poll() is not None or _running(home, supervisor.pid)

    if not wait_until(settled, within=_START_SECONDS):
        raise StackError(f"the stack was not ready within {_START_SECONDS:.0f} s; see {home / 'logs'}")
    if supervisor.returncode == ALREADY_SUPERVISED:
        return _join(home)
    state = StackState.read(home)
    if supervisor.returncode is not None or state.addresses is None:
        raise StackError(_why(home, state))
    return state.addresses


def _why(home: Path, state: StackState) -> str:
    if state.failure:
        return str(state.failure)
    if state.phase is Phase.STOPPED:
        return "the stack was stopped while it started"
    return f"the supervisor did not start:\n{tail(home / 'logs' / 'supervisor.log')}"


def _running(home: Path, supervisor_pid: int) -> bool:
    state = StackState.read(home)
    return state.supervisor_pid == supervisor_pid and state.phase is Phase.RUNNING


def _join(home: Path) -> StackAddresses:
    """Wait for a stack that somebody else started, or is just starting."""
    wait_until(
        lambda: StackState.read(home).phase is Phase.RUNNING, within=_START_SECONDS, stop=lambda: not supervised(home)
    )
    state = StackState.read(home)
    if state.phase is not Phase.RUNNING or state.addresses is None:
        raise StackError(f"another program started the stack in {home}, but it is {state.phase}")
    return state.addresses.model_copy(update={"already_running": True})


def _clean_up(home: Path) -> None:
    with exclusive_lock(lock_file(home)) as alone:
        if alone:
            state = StackState.read(home)
            end_components(state.components.values())
            state.phase = Phase.STOPPED
            write_privately(state_file(home), state.model_dump_json(indent=2))
