"""Programs of the stack as data, and how one of them is started, awaited and ended.

Everything here is synchronous and knows nothing of the stack: tests use it to run Postgres or Temporal alone.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tenacity import RetryError, Retrying, retry_if_not_result, stop_after_delay, wait_fixed

from workers.stack.ports import LOOPBACK

#: Start times of one process read twice may differ by clock adjustments, never by this much.
_SAME_START_SECONDS = 2.0
_POLL_SECONDS = 0.05
_KILL_SECONDS = 10.0


class StackError(Exception):
    """The stack, or a part of it, cannot do what was asked; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The account a program runs as when root starts it."""

    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Component:
    """One program of the stack.

    Attributes:
        name: Its name in logs and state.
        command: What to execute.
        env: The whole environment of the program; nothing is inherited beside it.
        ready: Says whether it serves. A one-shot program is ready when it has exited with 0.
        depends: Names of the components that must have been ready before its first start.
        one_shot: Runs to its end once, instead of being kept alive.
        prepare: Called before every start, also after a crash.
        owner: Account to run as, when not the current one.
        directory: Working directory, when not the current one.
        stop_signal: What asks it to end in good order.
        grace: Seconds it gets for that before it is killed.
        ready_within: Seconds after which a start that is not ready counts as failed.
        port: Where it listens.
        address: How people and programs reach it.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    ready: Callable[[], bool] = field(default=lambda: True)
    depends: tuple[str, ...] = ()
    one_shot: bool = False
    prepare: Callable[[], None] | None = None
    owner: Owner | None = None
    directory: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    ready_within: float = 120.0
    port: int | None = None
    address: str | None = None


def launch(component: Component, log: Path) -> subprocess.Popen[bytes]:
    """Start the program in its own session, so that a Ctrl-C at the terminal reaches only who is to handle it."""
    owner = component.owner
    with log.open("ab") as output:
        return subprocess.Popen(
            component.command,
            env=dict(component.env),
            cwd=component.directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=owner.uid if owner else None,
            group=owner.gid if owner else None,
            extra_groups=() if owner else None,
        )


@contextlib.contextmanager
def running(component: Component, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run one component on its own until the block ends."""
    if component.prepare:
        component.prepare()
    child = launch(component, log)
    try:
        exited = wait_until(lambda: component.ready() or child.poll() is not None, within=component.ready_within)
        if not exited or child.poll() is not None:
            raise StackError(f"{component.name} did not start:\n{tail(log)}")
        yield child
    finally:
        end([Target(pid=child.pid, stop_signal=component.stop_signal)], grace=component.grace)
        child.wait()


@dataclass(frozen=True, kw_only=True)
class Target:
    """A process to end. ``started`` guards against a pid that meanwhile belongs to somebody else."""

    pid: int
    started: float | None = None
    stop_signal: signal.Signals = signal.SIGTERM


def start_time(pid: int) -> float:
    """Return when the process was created, which together with the pid identifies it."""
    return psutil.Process(pid).create_time()


def find(pid: int, started: float | None) -> psutil.Process | None:
    """Return the process if it lives and is the one that was started then."""
    try:
        process = psutil.Process(pid)
        same = started is None or abs(process.create_time() - started) < _SAME_START_SECONDS
    except psutil.NoSuchProcess:
        return None
    return process if same and lives(process) else None


def lives(process: psutil.Process) -> bool:
    """Say whether the process can still do anything: a zombie cannot, and its parent may never bury it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end(targets: Iterable[Target], *, grace: float) -> None:
    """Ask all targets at once to end, then kill what is left of them and of their children."""
    found = [(process, target) for target in targets if (process := find(target.pid, target.started))]
    family = [child for process, _ in found for child in _children(process)]
    for process, target in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(target.stop_signal)
            process.send_signal(signal.SIGCONT)  # a stopped process would sit on the request for ever
    await_end([process for process, _ in found], within=grace)
    kill([*(process for process, _ in found), *family])


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill what still runs and wait until it is gone."""
    alive = [process for process in processes if lives(process)]
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    await_end(alive, within=_KILL_SECONDS)


def await_end(processes: Collection[psutil.Process], *, within: float) -> bool:
    """Wait until none of the processes lives, whoever their parent is."""
    return wait_until(lambda: not any(map(lives, processes)), within=within)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def wait_until(check: Callable[[], bool], *, within: float, stop: Callable[[], bool] = lambda: False) -> bool:
    """Poll until ``check`` holds; False when the time is over or ``stop`` says that it is not worth waiting."""
    retrying = Retrying(
        retry=retry_if_not_result(bool),
        wait=wait_fixed(_POLL_SECONDS),
        stop=lambda state: stop() or stop_after_delay(within)(state),
    )
    try:
        return retrying(check)
    except RetryError:
        return False


def answers(port: int, path: str) -> bool:
    """Say whether a GET on the loopback interface is answered with 200, whatever proxies the user has set."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log, for an error message."""
    try:
        with log.open(errors="replace") as text:
            return "".join(deque(text, maxlen=lines)).rstrip() or "(its log is empty)"
    except FileNotFoundError:
        return "(it wrote no log)"


def base_environment() -> dict[str, str]:
    """Return the environment of programs that must not see the user's own settings (``PG*``, ``TEMPORAL_*``)."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
