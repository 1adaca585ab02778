"""A partner's directory on a real SFTP server: only whole files are taken, each content once, and put away."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.feeds import Feeds
from shared.database import feeds
from shared.database.engine import Database
from shared.domain.feeds import FeedSource
from shared.errors import PartnerRefused, PartnerUnavailable
from shared.gateways.feeds.sftp import SftpLogin
from shared.messages import Wake
from shared.messages.feeds import FeedPollInput, FeedRun, FeedRunInput, FetchedFile, FetchedFiles
from tests.support.sftp import SftpServer, sftp_server
from tests.support.stock import seed


class NoProcesses:
    async def wake(self, workflow_id: str, wake: Wake) -> None:
        raise AssertionError("no order waits here")


class Partner:
    """A source whose files lie in a directory, and what a worker does with them."""

    def __init__(self, database: Database, server: SftpServer) -> None:
        self.database, self.server = database, server
        self.worker = Feeds(database, NoProcesses(), {"acme": server.login})

    async def define(self, **drop: Any) -> None:
        source = {
            "source_id": "acme", "node_id": "n1", "counts": "on_hand", "max_bytes": 1000,
            "reading": {"format": "csv", "sku": "sku", "quantity": "qty"}, "sftp": self.server.drop(**drop),
        }  # fmt: skip
        async with self.database.transaction() as connection:
            await feeds.define(connection, FeedSource.model_validate_json(json.dumps(source)), actor="test")

    def leaves(self, name: str, content: str, *, age: int = 60) -> None:
        """A file as it was left some seconds ago."""
        path = self.server.outbound / name
        path.write_text(content)
        at = path.stat().st_mtime - age
        os.utime(path, (at, at))

    async def look(self) -> FetchedFiles:
        return await ActivityEnvironment().run(self.worker.fetch, FeedPollInput(source_id="acme"))

    async def fetched(self) -> tuple[FetchedFile, ...]:
        """The files of the first look that brings some."""
        async with asyncio.timeout(60):
            while not (found := (await self.look()).files):
                await asyncio.sleep(0.1)
        return found

    async def run(self, file: FetchedFile) -> FeedRun:
        request, env = FeedRunInput(source_id="acme", run_id=file.run.run_id), ActivityEnvironment()
        run = await env.run(self.worker.stage, request)
        while run.status == "staged" and run.done < run.staged:
            run = await env.run(self.worker.apply, request)
        run = run if run.status == "refused" else await env.run(self.worker.finish, request)
        await env.run(self.worker.put_away, file)
        return run

    def files(self, folder: str = "") -> list[str]:
        return sorted(path.name for path in (self.server.outbound / folder).iterdir() if path.is_file())

    async def on_hand(self, sku: str = "s1") -> int:
        async with self.database.reading() as connection:
            statement = text("SELECT on_hand FROM stock_position WHERE node_id = 'n1' AND sku = :sku")
            return int((await connection.execute(statement, {"sku": sku})).scalar_one())


@pytest.fixture
async def partner(fresh_database_url: str, tmp_path: Path) -> AsyncIterator[Partner]:
    database = Database(fresh_database_url)
    await seed(database, nodes=1, skus=2, on_hand=0)
    async with sftp_server(tmp_path) as server:
        yield Partner(database, server)
    await database.close()


async def test_a_file_is_taken_when_it_no_longer_grows(partner: Partner) -> None:
    await partner.define()
    partner.leaves("stock.csv", "sku,qty\ns1,")
    partner.leaves("readme.txt", "not a feed")
    first = await partner.look()
    assert (first.files, first.waiting) == ((), 1), "seen once: nobody knows whether it is whole"
    partner.leaves("stock.csv", "sku,qty\ns1,12\n", age=50)
    grown = await partner.look()
    assert (grown.files, grown.waiting) == ((), 1), "it has changed since"
    (file,) = await partner.fetched()
    run = await partner.run(file)
    assert (run.status, run.changed, await partner.on_hand()) == ("applied", 1, 12)
    assert partner.files() == ["readme.txt"]
    assert partner.files("processed") == [f"{run.run_id}-stock.csv"]
    assert (await partner.look()).files == ()


async def test_a_done_marker_says_that_a_file_is_whole(partner: Partner) -> None:
    await partner.define(done_marker=True)
    partner.leaves("a.csv", "sku,qty\ns1,3\n")
    partner.leaves("b.csv", "sku,qty\ns1,4\n")
    partner.leaves("b.csv.done", "")
    (file,) = (await partner.look()).files
    assert file.name == "b.csv"
    await partner.run(file)
    assert partner.files() == ["a.csv"], "the marker goes with its file"
    assert (await partner.look()).files == ()


async def test_files_are_known_by_what_they_hold_not_by_their_names(partner: Partner) -> None:
    await partner.define()
    partner.leaves("a.csv", "sku,qty\ns1,3\n", age=300)
    (first,) = await partner.fetched()
    await partner.run(first)
    partner.leaves("renamed.csv", "sku,qty\ns1,3\n", age=200)
    (same,) = await partner.fetched()
    assert (same.run.again, same.run.run_id) == (True, first.run.run_id)
    await ActivityEnvironment().run(partner.worker.put_away, same)
    partner.leaves("a.csv", "sku,qty\ns1,5\n", age=100)
    (other,) = await partner.fetched()
    assert (other.name, other.run.again) == ("a.csv", False)
    await partner.run(other)
    assert (await partner.on_hand(), partner.files()) == (5, [])
    assert len(partner.files("processed")) == 3


async def test_a_file_that_changed_while_it_was_run_stays(partner: Partner) -> None:
    await partner.define()
    partner.leaves("a.csv", "sku,qty\ns1,3\n", age=300)
    (file,) = await partner.fetched()
    partner.leaves("a.csv", "sku,qty\ns1,30\n", age=200)
    await partner.run(file)
    assert (await partner.on_hand(), partner.files()) == (3, ["a.csv"])
    (newer,) = await partner.fetched()
    await partner.run(newer)
    assert (await partner.on_hand(), partner.files()) == (30, [])


async def test_what_is_too_long_is_refused_unread(partner: Partner) -> None:
    await partner.define()
    partner.leaves("a.csv", "sku,qty\n" + "s1,3\n" * 1000)
    (file,) = await partner.fetched()
    assert (file.run.status, file.run.code) == ("refused", "too_large")
    await ActivityEnvironment().run(partner.worker.put_away, file)
    assert partner.files() == []


async def test_nobody_but_the_server_we_know_is_spoken_to(partner: Partner) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key("openssh").decode().strip()
    await partner.define(host_key=other)
    with pytest.raises(PartnerRefused, match="HostKeyNotVerifiable"):
        await partner.look()
    await partner.define()
    partner.worker = Feeds(partner.database, NoProcesses(), {"acme": SftpLogin(password=SecretStr("wr0ng"))})
    with pytest.raises(PartnerRefused, match="PermissionDenied") as caught:
        await partner.look()
    assert "wr0ng" not in str(caught.value)
    partner.worker = Feeds(partner.database, NoProcesses(), {})
    with pytest.raises(PartnerRefused, match="DOMS_SFTP_PASSWORDS"):
        await partner.look()
    partner.worker = Feeds(partner.database, NoProcesses(), {"acme": partner.server.login})
    await partner.define(directory="elsewhere")
    with pytest.raises(PartnerRefused, match="elsewhere"):
        await partner.look()
    await partner.define(port=1)
    with pytest.raises(PartnerUnavailable, match="does not answer"):
        await partner.look()
