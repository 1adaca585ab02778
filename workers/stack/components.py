"""The programs of the stack as data: what runs, with which addresses, in which order."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.settings import Settings
from workers.stack.keys import Keys, keys_of
from workers.stack.ports import LOOPBACK, choose_port
from workers.stack.postgres import EmbeddedPostgres
from workers.stack.process import Component, answers
from workers.stack.state import StackAddresses, StackPlan
from workers.stack.temporal import EmbeddedTemporal

_PREFERRED_PORTS = {"api": 8080, "sandbox": 8090}
_PREFERRED_POSTGRES_PORTS = {"postgres": 5433}
_PREFERRED_TEMPORAL_PORTS = {"temporal": 7233, "temporal_ui": 8233, "temporal_http": 7243}
#: A worker is given longer than its own ``graceful_shutdown_timeout`` to finish its activities.
_WORKER_GRACE = 30.0


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack ready to be started."""

    components: tuple[Component, ...]
    addresses: StackAddresses
    ports: Mapping[str, int]
    postgres_data: Path | None


def assemble(settings: Settings, plan: StackPlan, *, remembered_ports: Mapping[str, int]) -> Stack:
    """Lay out a stack for these settings. A Postgres or Temporal of the user's own takes the embedded one's place."""
    home, keys = settings.home, keys_of(settings.home)
    ports = _ports(settings, remembered_ports)
    postgres = _postgres(settings, ports, keys)
    temporal = _temporal(settings, ports)
    addresses = StackAddresses(
        home=home,
        database_url=postgres.url() if postgres else settings.database_url,
        temporal_address=temporal.address if temporal else settings.temporal_address,
        temporal_ui_url=temporal.ui_url if temporal else None,
        api_url=f"http://{LOOPBACK}:{ports['api']}",
        sandbox_url=f"http://{LOOPBACK}:{ports['sandbox']}",
        partner_key=settings.partner_key.get_secret_value() or keys.partner_key,
    )
    servers = [postgres.component()] if postgres else []
    servers += [temporal.component(), temporal.retention_component()] if temporal else []
    programs = _programs(plan, addresses, ports, needs=tuple(server.name for server in servers))
    return Stack(
        components=(*servers, *programs),
        addresses=addresses,
        ports=ports,
        postgres_data=postgres.data if postgres else None,
    )


def _ports(settings: Settings, remembered: Mapping[str, int]) -> dict[str, int]:
    preferred = dict(_PREFERRED_PORTS)
    if not settings.database_url:
        preferred |= _PREFERRED_POSTGRES_PORTS
    if not settings.temporal_address:
        preferred |= _PREFERRED_TEMPORAL_PORTS
    ports: dict[str, int] = {}
    for name, usual in preferred.items():
        ports[name] = choose_port(remembered.get(name, usual), taken=set(ports.values()))
    return ports


def _postgres(settings: Settings, ports: Mapping[str, int], keys: Keys) -> EmbeddedPostgres | None:
    if settings.database_url:
        return None
    return EmbeddedPostgres.at(settings.home, port=ports["postgres"], password=keys.postgres_password)


def _temporal(settings: Settings, ports: Mapping[str, int]) -> EmbeddedTemporal | None:
    if settings.temporal_address:
        return None
    return EmbeddedTemporal(
        directory=settings.home / "temporal",
        port=ports["temporal"],
        http_port=ports["temporal_http"],
        ui_port=ports["temporal_ui"],
        namespace=settings.temporal_namespace,
    )


def _programs(
    plan: StackPlan, addresses: StackAddresses, ports: Mapping[str, int], *, needs: tuple[str, ...]
) -> list[Component]:
    env = os.environ | addresses.environment() | {"PYTHONUNBUFFERED": "1"}
    migrate = Component(
        name="migrate",
        command=(*plan.program, "migrate"),
        env=env,
        depends=needs,
        one_shot=True,
    )
    sandbox = _server(plan, "sandbox", ports["sandbox"], env, options=plan.sandbox_options)
    api = _server(plan, "api", ports["api"], env, depends=("migrate", "sandbox"))
    workers = [
        _worker(plan, f"worker-{number}", "orders", env, addresses.home) for number in range(1, plan.workers + 1)
    ]
    if workers:
        workers.append(_worker(plan, "planner", "planning", env, addresses.home))
    return [migrate, sandbox, api, *workers]


def _server(
    plan: StackPlan,
    name: str,
    port: int,
    env: Mapping[str, str],
    *,
    options: tuple[str, ...] = (),
    depends: tuple[str, ...] = (),
) -> Component:
    return Component(
        name=name,
        command=(*plan.program, name, "--port", str(port), *options),
        env=env,
        ready=lambda: answers(port, "/health"),
        depends=depends,
        port=port,
        address=f"http://{LOOPBACK}:{port}",
    )


def _worker(plan: StackPlan, name: str, queue: str, env: Mapping[str, str], home: Path) -> Component:
    """Lay out a worker, which listens nowhere: it touches a file once it polls its queues."""
    ready_file = home / "run" / f"{name}.ready"
    return Component(
        name=name,
        command=(*plan.program, "worker", "--queue", queue),
        env={**env, "DOMS_READY_FILE": str(ready_file)},
        ready=ready_file.exists,
        prepare=_remover(ready_file),
        depends=("migrate", "sandbox"),
        grace=_WORKER_GRACE,
    )


def _remover(file: Path) -> Callable[[], None]:
    return lambda: file.unlink(missing_ok=True)
