"""The embedded Temporal server: the official development server on a database file, with its Web UI.

Its defaults are for trying things out: 50 ms per step, timers of at least a second, a rollback journal with an fsync
per commit, one day of retention. The options below take each of these away; a killed server still loses nothing it has
acknowledged.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workers.stack.ports import LOOPBACK, choose_port
from workers.stack.process import Component, StackError, answers, base_environment, running

#: An order may wait months for stock; its history must be there when support looks after it was closed.
RETENTION = "90d"
_PRAGMAS = ("journal_mode=wal", "synchronous=normal")
_DYNAMIC_CONFIG = (
    # one node: more partitions only scatter the queue
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
    # the default of 20 polls per second costs 50 ms at every step
    "history.transferProcessorMaxPollRPS=2000",
    "history.timerProcessorMaxPollRPS=2000",
    # without it no timer is shorter than a second
    'history.timerProcessorMaxTimeShift="10ms"',
    # fairness keys are ignored in silence unless it is on
    "matching.enableFairness=true",
)
_TIME_SKIPPING = ("frontend.WorkflowTimeSkippingEnabled=true",)


@dataclass(frozen=True, kw_only=True)
class EmbeddedTemporal:
    """A Temporal server of our own on the loopback interface.

    Attributes:
        directory: Holds the database file.
        port: gRPC, for clients and workers.
        http_port: HTTP API, asked whether the server is ready.
        ui_port: Web UI; None runs without it.
        time_skipping: Let tests move a workflow's clock.
    """

    directory: Path
    port: int
    http_port: int
    ui_port: int | None = None
    namespace: str = "default"
    time_skipping: bool = False

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def ui_url(self) -> str | None:
        return f"http://{LOOPBACK}:{self.ui_port}" if self.ui_port else None

    def component(self) -> Component:
        return Component(
            name="temporal",
            command=(str(_binary()), "server", "start-dev", *self._options()),
            env=self._environment(),
            ready=self.serves,
            prepare=lambda: self.directory.mkdir(mode=0o700, parents=True, exist_ok=True),
            directory=self.directory.parent,
            grace=15,
            port=self.port,
            address=self.address,
        )

    def retention_component(self) -> Component:
        """Return the one-shot program that lengthens the retention, which start options cannot."""
        where = ("--namespace", self.namespace, "--address", self.address)
        return Component(
            name="retention",
            command=(str(_binary()), "operator", "namespace", "update", "--retention", RETENTION, *where),
            env=self._environment(),
            directory=self.directory.parent,
            depends=("temporal",),
            one_shot=True,
        )

    def serves(self) -> bool:
        """Say whether the frontend answers for our namespace, which is registered after the port opens."""
        return answers(self.http_port, f"/api/v1/namespaces/{self.namespace}")

    def _options(self) -> list[str]:
        options = ["--db-filename", str(self.directory / "temporal.db"), "--namespace", self.namespace]
        options += ["--ip", LOOPBACK, "--port", str(self.port), "--http-port", str(self.http_port)]
        options += ["--log-level", "warn"]
        options += ["--ui-port", str(self.ui_port), "--ui-disable-news-fetch"] if self.ui_port else ["--headless"]
        for pragma in _PRAGMAS:
            options += ["--sqlite-pragma", pragma]
        for value in _DYNAMIC_CONFIG + (_TIME_SKIPPING if self.time_skipping else ()):
            options += ["--dynamic-config-value", value]
        return options

    def _environment(self) -> dict[str, str]:
        """Keep the user's own Temporal profiles, which may point at a cluster elsewhere, out of the embedded one."""
        return base_environment() | {"HOME": str(self.directory)}


@contextlib.contextmanager
def temporal_running(home: Path, *, port: int | None = None, time_skipping: bool = False) -> Iterator[EmbeddedTemporal]:
    """Run only Temporal, without its UI, under ``home``, until the block ends."""
    home.mkdir(parents=True, exist_ok=True)
    grpc = port or choose_port()
    server = EmbeddedTemporal(
        directory=home / "temporal",
        port=grpc,
        http_port=choose_port(taken={grpc}),
        time_skipping=time_skipping,
    )
    with running(server.component(), home / "temporal.log"):
        yield server


def _binary() -> Path:
    """Return the server beside the interpreter, where the wheel puts it, whatever ``PATH`` says."""
    binary = Path(sys.executable).parent / "temporal"
    if not binary.exists():
        raise StackError("the embedded Temporal is not installed: install doms[local], or set DOMS_TEMPORAL_ADDRESS")
    return binary
