"""What the sandbox tells us and writes down, and that it takes up its work after a crash."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.domain.base import Model
from shared.domain.network import NodeType
from shared.errors import PartnerUnavailable
from shared.gateways.guard import Limits
from shared.gateways.http import HttpClient
from tests.support.outside import Outside, authorize, gateways_at, outside
from tests.support.partners import PARTNER_KEY, listening, request_for
from workers.sandbox.config import Behaviour, Rates
from workers.sandbox.log import Effect, read_effects


class LogPage(Model):
    effects: list[Effect]
    next: int | None


async def test_a_message_is_sent_until_it_is_taken(world: Outside) -> None:
    world.inbox.refusals = iter([503, 500, 429, 302])
    await world.behave("web/1/f1", Behaviour.REJECT)
    await world.gateways.fulfillment("ours").request(request_for("web/1/f1"))
    await world.quiet()
    assert world.inbox.types("web/1/f1") == ["fulfillment.rejected"]
    assert len(world.effects("message.sent")) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 422])
async def test_a_refused_message_is_given_up(world: Outside, status: int) -> None:
    world.inbox.refusals = itertools.repeat(status)
    await world.behave("web/1/f1", Behaviour.REJECT)
    await world.gateways.fulfillment("ours").request(request_for("web/1/f1"))
    await world.quiet()
    assert world.inbox.messages == []
    assert len(world.effects("message.refused")) == 1


async def test_scans_may_come_twice_and_out_of_order(tmp_path: Path) -> None:
    rates = Rates(scan_duplicate=1.0, scan_reorder=1.0, delivery_exception=1.0, out_for_delivery=0.0)
    async with outside(tmp_path, rates=rates) as world:
        await world.gateways.fulfillment("acme").request(request_for("web/1/f1", node_type=NodeType.VENDOR))
        shipped = await world.inbox.shipped("web/1/f1")
        await world.quiet()
        statuses = world.inbox.statuses(shipped.packages[0].tracking_no)
        assert Counter(statuses) == {"exception": 2, "delivered": 2, "in_transit": 2}
        assert statuses[-1] == "in_transit"
        assert len({m.message_id for m in world.inbox.messages if m.type == "tracking.updated"}) == 3
        assert len(world.effects("parcel.delivered")) == 1


async def test_the_log_is_paged_and_only_grows(world: Outside) -> None:
    provider = world.gateways.payments()
    for n in range(1, 6):
        await provider.authorize(authorize(n))
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        page = (await world.control.send("GET", "/log", params={"after": str(after), "limit": "2"})).body
        log = LogPage.model_validate_json(page)
        seen += [effect.seq for effect in log.effects]
        after = log.next
    assert seen == [1, 2, 3, 4, 5]
    with sqlite3.connect(world.database) as other:
        for change in ("UPDATE effect SET amount = 0", "DELETE FROM effect", "DELETE FROM request"):
            with pytest.raises(sqlite3.IntegrityError, match="append only"):
                other.execute(change)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/control/faults", '{"partner": "payments", "mode": "odd"}'),
        ("/control/faults", "["),
        ("/control/behaviour", '{"behaviour": "reject"}'),
        ("/control/behaviour", '{"reference": "a", "behaviour": "odd"}'),
    ],
)
async def test_control_refuses_what_it_does_not_understand(world: Outside, path: str, body: str) -> None:
    assert await world.post(path, body) == 422


@pytest.mark.crash
async def test_a_killed_sandbox_takes_up_its_work(tmp_path: Path) -> None:
    database = tmp_path / "sandbox.sqlite"
    async with listening() as inbox:
        async with sandbox_process(database, inbox.url) as (process, url):
            async with gateways_at(url, PARTNER_KEY) as gateways:
                for n in range(10):
                    await gateways.fulfillment("ours").request(request_for(f"web/{n}/f1"))
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        assert inbox.messages == []
        async with sandbox_process(database, inbox.url) as (_, url):
            async with gateways_at(url, PARTNER_KEY) as gateways:
                for n in range(10):
                    await gateways.fulfillment("ours").request(request_for(f"web/{n}/f1"))
            for n in range(10):
                await inbox.packed(f"web/{n}/f1")
    counted = Counter(effect.effect for effect in read_effects(database))
    assert counted["task.taken"] == counted["task.packed"] == 10


PROGRAM = """
import asyncio, sys
from workers.sandbox.app import serve
from workers.sandbox.config import SandboxConfig
asyncio.run(serve(SandboxConfig.model_validate_json(sys.argv[1]), "127.0.0.1", int(sys.argv[2])))
"""


@asynccontextmanager
async def sandbox_process(database: Path, api_url: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    port = free_port()
    config = (
        f'{{"api_url": "{api_url}", "partner_key": "{PARTNER_KEY}", "database": "{database}",'
        ' "pace": {"accept_after": 1.5, "pack_after": 0.05}}'
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, config, str(port))
    url = f"http://127.0.0.1:{port}"
    try:
        await healthy(url)
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def healthy(url: str) -> None:
    client = HttpClient(url, Limits())
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    await client.send("GET", "/health")
                except PartnerUnavailable:
                    await asyncio.sleep(0.05)
                else:
                    return
    finally:
        await client.aclose()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
