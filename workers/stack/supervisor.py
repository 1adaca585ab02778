"""The one long-lived process that keeps a stack alive: a thread per component starts it and starts it again.

It writes ``stack.json`` at every change, so that whoever comes next can find, and end, what it started, even after the
supervisor itself was killed.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from shared.settings import Settings
from workers.stack.components import Stack, assemble
from workers.stack.files import exclusive_lock, write_privately
from workers.stack.process import Component, StackError, Target, end, launch, start_time, tail, wait_until
from workers.stack.state import (
    ComponentState,
    Phase,
    StackPlan,
    StackState,
    StartFailure,
    end_components,
    lock_file,
    state_file,
)

#: Exit code of a supervisor that found another one in its home.
ALREADY_SUPERVISED = 75
_FIRST_ATTEMPTS = 3
_LOOK_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
#: Others hold the lock for an instant when they look whether it is free.
_LOCK_SECONDS = 2.0

log = logging.getLogger("doms.stack")


class Supervisor:
    """Starts components in the order of their needs, restarts those that die, and stops all of them.

    A component that was ready once is restarted for ever; one that never was fails the whole stack after a few
    attempts, because somebody is waiting for it with a question the log can answer.
    """

    def __init__(self, home: Path, components: Iterable[Component], state: StackState) -> None:
        self._home = home
        self._file = state_file(home)
        self._components = {component.name: component for component in components}
        self._state = state
        self._stopping = threading.Event()
        self._ready = {name: threading.Event() for name in self._components}
        self._lock = threading.RLock()

    def run(self) -> bool:
        """Keep the stack until :meth:`stop` is called; False when it did not start."""
        for directory in ("logs", "run"):
            (self._home / directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._enroll()
        keepers = [
            threading.Thread(target=self._keep, args=(component,), name=component.name)
            for component in self._components.values()
        ]
        for keeper in keepers:
            keeper.start()
        while not self._stopping.wait(_LOOK_SECONDS):
            if not self._file.exists():
                log.error("%s is gone, and with it the way to stop this stack: stopping it", self._home)
                self.stop()
        self._end_all()
        for keeper in keepers:
            keeper.join()
        self._write(Phase.FAILED if self._state.failure else Phase.STOPPED)
        return self._state.failure is None

    def stop(self) -> None:
        """Ask for the end."""
        self._stopping.set()

    def _enroll(self) -> None:
        levels = levels_of(self._components)
        self._state.components = {
            name: ComponentState(
                level=levels[name],
                one_shot=component.one_shot,
                log=self._home / "logs" / f"{name}.log",
                port=component.port,
                address=component.address,
                stop_signal=component.stop_signal,
                grace=component.grace,
            )
            for name, component in self._components.items()
        }
        self._state.supervisor_pid = os.getpid()
        self._state.supervisor_started = start_time(os.getpid())
        self._state.failure = None
        self._write(Phase.STARTING)

    def _write(self, phase: Phase | None = None) -> None:
        """Tell others. A full disk must not keep us from starting and ending processes."""
        with self._lock:
            self._state.phase = phase or self._state.phase
            try:
                write_privately(self._file, self._state.model_dump_json(indent=2))
            except OSError as error:
                log.error("cannot write %s: %s", self._file, error)

    def _keep(self, component: Component) -> None:
        """Live one component's life: wait for what it needs, start it, and start it again whenever it ends."""
        for need in component.depends:
            wait_for_either(self._ready[need], self._stopping)
        pause, attempts = _FIRST_PAUSE, 0
        while not self._stopping.is_set():
            attempts += 1
            trouble = self._run_once(component)
            if self._stopping.is_set() or (component.one_shot and trouble is None):
                return
            if not self._ready[component.name].is_set() and attempts >= _FIRST_ATTEMPTS:
                self._fail(component, trouble or "ended")
                return
            pause = min(pause * 2, _LONGEST_PAUSE) if trouble else _FIRST_PAUSE
            log.warning("%s %s; starting it again in %.1f s", component.name, trouble or "ended", pause)
            self._stopping.wait(pause)

    def _run_once(self, component: Component) -> str | None:
        """Run the component to its end; what went wrong if it was not ready in between."""
        try:
            if component.prepare:
                component.prepare()
            child = self._launch(component)
        except (StackError, OSError) as error:
            return f"could not be started: {error}"
        if child is None:
            return None
        trouble = self._await_ready(component, child)
        exit_code = child.wait()
        with self._lock:
            part = self._state.components[component.name]
            part.pid, part.started, part.exit_code = None, None, exit_code
            part.ready = component.one_shot and trouble is None
            self._write()
        return trouble

    def _launch(self, component: Component) -> subprocess.Popen[bytes] | None:
        """Start and record in one step: what :meth:`_end_all` does not find recorded is never started afterwards."""
        with self._lock:
            if self._stopping.is_set():
                return None
            part = self._state.components[component.name]
            child = launch(component, part.log)
            part.pid, part.started = child.pid, start_time(child.pid)
            part.starts += 1
            part.exit_code = None
            self._write()
        log.info("%s runs as pid %d", component.name, child.pid)
        return child

    def _await_ready(self, component: Component, child: subprocess.Popen[bytes]) -> str | None:
        def settled() -> bool:
            return child.poll() is not None or (not component.one_shot and component.ready())

        in_time = wait_until(settled, within=component.ready_within, stop=self._stopping.is_set)
        if self._stopping.is_set():
            return None
        if not in_time:
            end([Target(pid=child.pid, stop_signal=component.stop_signal)], grace=component.grace)
            return f"was not ready within {component.ready_within:.0f} s"
        if child.returncode is not None and not (component.one_shot and child.returncode == 0):
            return f"ended with exit code {child.returncode}"
        self._mark_ready(component)
        return None

    def _mark_ready(self, component: Component) -> None:
        log.info("%s is ready", component.name)
        with self._lock:
            self._state.components[component.name].ready = True
            self._ready[component.name].set()
            all_ready = all(event.is_set() for event in self._ready.values())
            starting = self._state.phase is Phase.STARTING
            self._write(Phase.RUNNING if starting and all_ready else None)

    def _fail(self, component: Component, reason: str) -> None:
        log.error("%s %s, giving up", component.name, reason)
        path = self._state.components[component.name].log
        with self._lock:
            if self._state.failure is None:
                self._state.failure = StartFailure(
                    component=component.name, reason=reason, log=path, log_tail=tail(path)
                )
        self.stop()

    def _end_all(self) -> None:
        with self._lock:
            self._write(Phase.STOPPING)
            parts = [part.model_copy() for part in self._state.components.values()]
        log.info("stopping")
        end_components(parts)


def levels_of(components: Mapping[str, Component]) -> dict[str, int]:
    """Return how many layers of needs lie below each component."""

    def level(name: str) -> int:
        return max((level(need) + 1 for need in components[name].depends), default=0)

    return {name: level(name) for name in components}


def wait_for_either(first: threading.Event, second: threading.Event) -> None:
    while not first.wait(0.1) and not second.is_set():
        pass


def supervise(settings: Settings, plan: StackPlan) -> int:
    """Run the stack of one home; the exit code of the process."""
    home = settings.home
    with exclusive_lock(lock_file(home), within=_LOCK_SECONDS) as alone:
        if not alone:
            return ALREADY_SUPERVISED
        state = StackState.read(home)
        _take_over(home, state)
        stack = assemble(settings, plan, remembered_ports=state.ports)
        supervisor = Supervisor(home, stack.components, _initial(stack, plan))
        for number in (signal.SIGTERM, signal.SIGINT):
            # from a thread: the handler may interrupt the main thread while it holds the lock of the event
            signal.signal(number, lambda *_: threading.Thread(target=supervisor.stop).start())
        return 0 if supervisor.run() else 1


def _take_over(home: Path, state: StackState) -> None:
    """End what a killed supervisor left behind. It stays recorded meanwhile, should we be killed as well."""
    state.phase, state.failure = Phase.STARTING, None
    state.supervisor_pid, state.supervisor_started = os.getpid(), start_time(os.getpid())
    write_privately(state_file(home), state.model_dump_json(indent=2))
    end_components(state.components.values())


def _initial(stack: Stack, plan: StackPlan) -> StackState:
    return StackState(plan=plan, ports=dict(stack.ports), postgres_data=stack.postgres_data, addresses=stack.addresses)


def main() -> int:
    """Run as the program :func:`workers.stack.up` starts, with the plan as its only argument."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        return supervise(Settings(), StackPlan.model_validate_json(sys.argv[1]))
    except (StackError, OSError) as error:
        log.error("%s", error)
        return 1
