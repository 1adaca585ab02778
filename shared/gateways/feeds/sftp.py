"""A partner's SFTP directory: what lies there, taking a file, putting it away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import asyncssh
from pydantic import SecretStr

from shared.domain.base import Instant, Model
from shared.domain.feeds import SftpDrop
from shared.errors import PartnerRefused, PartnerUnavailable

DONE = ".done"
_CONNECT, _BLOCK = 15.0, 256 * 1024


class SftpLogin(Model):
    """Who we are at a partner's server: a password, a private key, or both."""

    password: SecretStr | None = None
    key_file: Path | None = None


#: By source.
SftpLogins = Mapping[str, SftpLogin]


class Listed(Model):
    """A file of the directory as a listing shows it.

    Attributes:
        marked: Whether its done marker lies beside it.
    """

    name: str
    size: int
    modified: Instant
    marked: bool


@dataclass
class Directory:
    """An open directory."""

    _drop: SftpDrop
    _client: asyncssh.SFTPClient

    async def listing(self) -> list[Listed]:
        """The files that are to be taken, the oldest first; whether they are whole is for the caller to judge."""
        entries = {str(entry.filename): entry.attrs for entry in await self._client.readdir(self._drop.directory)}
        found = [
            Listed(
                name=name,
                size=attributes.size or 0,
                modified=datetime.fromtimestamp(attributes.mtime or 0, UTC),
                marked=name + DONE in entries,
            )
            for name, attributes in entries.items()
            if attributes.type == asyncssh.FILEXFER_TYPE_REGULAR and self._is_wanted(name)
        ]
        return sorted(found, key=lambda file: (file.modified, file.name))

    def _is_wanted(self, name: str) -> bool:
        plain = not name.startswith(".") and "/" not in name and not name.endswith(DONE)
        return plain and fnmatchcase(name, self._drop.pattern)

    async def fetch(self, name: str, into: BinaryIO, *, at_most: int) -> None:
        """Copy a file; of one that is longer than ``at_most`` bytes, one byte more than that."""
        left = at_most + 1
        async with self._client.open(self._at(name), "rb") as file:
            while left and (block := await file.read(min(_BLOCK, left))):
                assert isinstance(block, bytes), "the file was opened for its bytes"
                left -= into.write(block)

    async def put_away(self, file: Listed, run_id: str) -> None:
        """Move a file that was run out of the way. One that has changed since is another, and stays."""
        entries = {each.name: each for each in await self.listing()}
        now = entries.get(file.name)
        if now is None or (now.size, now.modified) != (file.size, file.modified):
            return
        processed = PurePosixPath(self._drop.directory, self._drop.processed)
        await self._client.makedirs(str(processed), exist_ok=True)
        await self._client.rename(self._at(file.name), str(processed / f"{run_id}-{file.name}"))
        if now.marked:
            await self._client.remove(self._at(file.name + DONE))

    def _at(self, name: str) -> str:
        return str(PurePosixPath(self._drop.directory, name))


@asynccontextmanager
async def open_directory(source_id: str, drop: SftpDrop, logins: SftpLogins) -> AsyncIterator[Directory]:
    """A source's directory for the length of the block.

    Raises:
        PartnerUnavailable: the server does not answer, or the connection was lost.
        PartnerRefused: it has another key than the source says, does not let us in, or refuses what we ask.
    """
    login = logins.get(source_id)
    if login is None:
        message = f"no login for {source_id}: name it in DOMS_SFTP_PASSWORDS or DOMS_SFTP_KEYS of the workers"
        raise PartnerRefused(message, partner=source_id)
    try:
        async with _connected(drop, login) as connection, connection.start_sftp_client() as client:
            yield Directory(drop, client)
    except (asyncssh.HostKeyNotVerifiable, asyncssh.PermissionDenied) as error:
        raise PartnerRefused(f"{drop.host}: {type(error).__name__}: {error.reason}", partner=source_id) from error
    except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection) as error:
        raise PartnerUnavailable(f"{drop.host}: the connection was lost", partner=source_id) from error
    except asyncssh.SFTPError as error:
        raise PartnerRefused(f"{drop.host}:{drop.directory}: {error.reason}", partner=source_id) from error
    except (OSError, asyncssh.Error) as error:
        raise PartnerUnavailable(f"{drop.host} does not answer: {type(error).__name__}", partner=source_id) from error


def _connected(drop: SftpDrop, login: SftpLogin) -> asyncssh.misc._ACMWrapper[asyncssh.SSHClientConnection]:
    """A connection to exactly this server, as nobody but the login; the machine's own keys and files are not asked."""
    return asyncssh.connect(
        drop.host,
        drop.port,
        username=drop.username,
        password=login.password.get_secret_value() if login.password else None,
        client_keys=[str(login.key_file)] if login.key_file else None,
        known_hosts=([asyncssh.import_public_key(drop.host_key)], [], []),
        agent_path=None,
        config=None,
        connect_timeout=_CONNECT,
        login_timeout=_CONNECT,
        keepalive_interval=15,
    )
