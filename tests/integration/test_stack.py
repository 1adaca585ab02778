"""The embedded stack survives what kills its parts: data, ports and history stay, and nothing is left running."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from shared.settings import Settings
from tests.support.stack import fresh_database
from workers.stack import Phase, StackError, StackState, down, running_stack, status, up
from workers.stack.ports import choose_port, is_free
from workers.stack.postgres import EmbeddedPostgres, postgres_running
from workers.stack.process import Component, Target, base_environment, end, launch, lives, start_time, wait_until
from workers.stack.supervisor import Supervisor
from workers.stack.temporal import EmbeddedTemporal, temporal_running

FAKE_PROGRAM = (sys.executable, str(Path(__file__).parent.parent / "support" / "fake_cli.py"))


def postmaster_of(server: EmbeddedPostgres) -> psutil.Process:
    return psutil.Process(int((server.data / "postmaster.pid").read_text().split("\n", 1)[0]))


def test_each_database_is_fresh(postgres_server: EmbeddedPostgres) -> None:
    with fresh_database(postgres_server, "template1") as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


@pytest.mark.crash
def test_postgres_starts_again_after_its_postmaster_was_killed(stack_home: Path) -> None:
    with postgres_running(stack_home) as server:
        connection = psycopg.connect(server.url(), autocommit=True)
        connection.execute("CREATE TABLE fact AS SELECT 42 AS answer")
        # a busy backend does not notice the death of its postmaster, and holds on to the shared memory
        connection.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1e12)")
        orphan = psutil.Process(connection.info.backend_pid)
        postmaster = postmaster_of(server)
        postmaster.kill()
        postmaster.wait()
    assert lives(orphan)
    with postgres_running(stack_home, port=server.port) as again, psycopg.connect(again.url()) as reader:
        assert reader.execute("SELECT answer FROM fact").fetchone() == (42,)
    assert not lives(orphan)
    connection.close()


def test_postgres_starts_although_its_old_pid_belongs_to_somebody_else(stack_home: Path) -> None:
    with postgres_running(stack_home, fsync=False) as server:
        pass
    (server.data / "postmaster.pid").write_text(f"{os.getppid()}\n{server.data}\n")
    with postgres_running(stack_home, fsync=False) as again:
        assert again.serves()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run Postgres as somebody else")
def test_root_keeps_its_data_elsewhere_when_its_home_is_private(stack_home: Path) -> None:
    stack_home.chmod(0o700)
    with postgres_running(stack_home / "inside", fsync=False) as server:
        assert postmaster_of(server).username() == "nobody"
        assert server.base.parent == Path("/var/tmp")
    assert stack_home.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(server.base)


@pytest.mark.crash
async def test_temporal_keeps_its_histories_and_its_port_when_killed(stack_home: Path) -> None:
    with temporal_running(stack_home) as server:
        client = await Client.connect(server.address)
        await client.start_workflow("Never", id="order/web/1", task_queue="nobody-listens")
        child = next(c for c in psutil.Process().children() if lives(c) and str(server.port) in c.cmdline())
        child.kill()
    with temporal_running(stack_home, port=server.port) as again:
        description = await (await Client.connect(again.address)).get_workflow_handle("order/web/1").describe()
        assert description.workflow_type == "Never"


def sleeper(name: str, *, seconds: float = 600, **more: object) -> Component:
    command = (sys.executable, "-c", f"import time; time.sleep({seconds})")
    return Component(name=name, command=command, env=base_environment(), **more)  # type: ignore[arg-type]


class RunningSupervisor:
    """A supervisor in a thread of the test."""

    def __init__(self, home: Path, *components: Component) -> None:
        self.home = home
        self._supervisor = Supervisor(home, components, StackState())
        self._thread = threading.Thread(target=self._supervisor.run)
        self._thread.start()

    @property
    def state(self) -> StackState:
        return StackState.read(self.home)

    def reaches(self, phase: Phase) -> bool:
        return wait_until(lambda: self.state.phase is phase, within=60)

    def stop(self) -> None:
        self._supervisor.stop()
        self._thread.join()


@pytest.fixture
def supervise(stack_home: Path) -> Iterator[Callable[..., RunningSupervisor]]:
    with contextlib.ExitStack() as cleanup:

        def start(*components: Component) -> RunningSupervisor:
            running = RunningSupervisor(stack_home, *components)
            cleanup.callback(running.stop)
            return running

        yield start


@pytest.mark.crash
def test_a_killed_component_is_started_again(supervise: Callable[..., RunningSupervisor]) -> None:
    running = supervise(sleeper("a"), sleeper("b", depends=("a",)))
    assert running.reaches(Phase.RUNNING)
    before = running.state.components
    os.kill(before["a"].pid or 0, signal.SIGKILL)

    assert wait_until(lambda: running.state.components["a"].starts == 2, within=60)
    after = running.state.components
    assert after["a"].pid not in {None, before["a"].pid}
    assert (after["b"].pid, after["b"].starts) == (before["b"].pid, 1)


def test_components_start_after_what_they_need_and_end_before_it(
    stack_home: Path, supervise: Callable[..., RunningSupervisor]
) -> None:
    trace = stack_home / "trace"
    code = (
        "import signal, sys, time\n"
        "say = lambda word: open(sys.argv[1], 'a').write(f'{sys.argv[2]} {word}\\n')\n"
        "signal.signal(signal.SIGTERM, lambda *_: (say('ends'), sys.exit()))\n"
        "say('starts'); open(sys.argv[3], 'w'); time.sleep(60)"
    )

    def tracing(name: str, *depends: str) -> Component:
        ready = stack_home / f"{name}.ready"
        command = (sys.executable, "-c", code, str(trace), name, str(ready))
        return Component(name=name, command=command, env=base_environment(), ready=ready.exists, depends=depends)

    running = supervise(tracing("worker", "server"), tracing("server"))
    assert running.reaches(Phase.RUNNING)
    running.stop()
    assert trace.read_text().splitlines() == ["server starts", "worker starts", "worker ends", "server ends"]


def test_a_stopped_process_is_ended_too(stack_home: Path) -> None:
    child = launch(sleeper("frozen"), stack_home / "log")
    psutil.Process(child.pid).suspend()
    end([Target(pid=child.pid)], grace=5)
    child.wait()
    assert not psutil.pid_exists(child.pid)


def test_a_pid_that_now_belongs_to_somebody_else_is_left_alone(stack_home: Path) -> None:
    child = launch(sleeper("stranger"), stack_home / "log")
    end([Target(pid=child.pid, started=start_time(child.pid) - 60)], grace=1)
    assert child.poll() is None
    child.kill()
    child.wait()


def test_a_taken_port_is_not_chosen() -> None:
    port = choose_port()
    assert is_free(port)
    assert choose_port(port) == port
    assert choose_port(port, taken={port}) != port


@pytest.fixture
def settings(
    stack_home: Path, postgres_server: EmbeddedPostgres, temporal_server: EmbeddedTemporal
) -> Iterator[Settings]:
    """Settings of a stack that uses servers of the user's own, as a production one does."""
    given = Settings(
        home=stack_home / "home", database_url=postgres_server.url(), temporal_address=temporal_server.address
    )
    yield given
    down(given)


def test_up_starts_everything_once_and_down_ends_it(settings: Settings) -> None:
    first = up(settings, workers=2, program=FAKE_PROGRAM, sandbox_options=["--seed", "7"])
    state = status(settings)
    second = up(settings, program=FAKE_PROGRAM)

    assert (first.already_running, second.already_running) == (False, True)
    assert first.api_url == second.api_url
    assert state.phase is Phase.RUNNING
    assert state.alive() == {"sandbox", "api", "worker-1", "worker-2", "planner"}
    assert status(settings).components == state.components
    assert "--seed 7" in (first.home / "logs" / "sandbox.log").read_text()
    assert (first.home / "stack.json").stat().st_mode & 0o077 == 0

    assert down(settings)
    assert status(settings).phase is Phase.STOPPED
    assert not state.alive()
    assert not down(settings)


def test_the_next_start_finds_its_ports_and_keys_again(settings: Settings) -> None:
    first = up(settings, workers=0, program=FAKE_PROGRAM)
    down(settings)
    assert up(settings, workers=0, program=FAKE_PROGRAM) == first


def test_up_quotes_the_log_of_what_does_not_start(settings: Settings) -> None:
    with pytest.raises(StackError, match=r"(?s)api ended with exit code 1.*api has no idea what to do"):
        up(settings, workers=1, program=FAKE_PROGRAM, extra_env={"FAKE_FAILS": "api"})
    state = status(settings)
    assert state.phase is Phase.FAILED
    assert not state.alive()


@pytest.mark.crash
@pytest.mark.parametrize("then", [up, down])
def test_what_a_killed_supervisor_left_is_cleared(settings: Settings, then: object) -> None:
    up(settings, workers=1, program=FAKE_PROGRAM)
    left = status(settings)
    psutil.Process(left.supervisor_pid).kill()
    assert wait_until(lambda: status(settings).phase is Phase.ABANDONED, within=60)
    assert left.alive() == {"sandbox", "api", "worker-1", "planner"}

    if then is up:
        assert not up(settings, workers=1, program=FAKE_PROGRAM).already_running
    else:
        assert down(settings)
    assert not left.alive()


def test_a_stack_whose_home_was_removed_ends_itself(settings: Settings) -> None:
    home = up(settings, workers=1, program=FAKE_PROGRAM).home
    left = status(settings)
    shutil.rmtree(home)
    assert wait_until(lambda: not left.alive(), within=60)


@pytest.mark.crash
async def test_the_whole_embedded_stack_comes_back_part_by_part(stack_home: Path) -> None:
    settings = Settings(home=stack_home, database_url="", temporal_address="")
    async with running_stack(settings, workers=1, program=FAKE_PROGRAM) as addresses:
        before = status(settings).components
        client = await Client.connect(addresses.temporal_address)
        namespace = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
        assert namespace.config.workflow_execution_retention_ttl.ToTimedelta().days == 90

        for name in ("postgres", "temporal", "worker-1"):
            os.kill(before[name].pid or 0, signal.SIGKILL)

        def recovered() -> bool:
            now = status(settings).components
            return all(now[name].ready and now[name].starts == 2 for name in ("postgres", "temporal", "worker-1"))

        assert wait_until(recovered, within=120)
        with psycopg.connect(addresses.database_url) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
    assert status(settings).phase is Phase.STOPPED
