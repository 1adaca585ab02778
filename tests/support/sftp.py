"""A partner's SFTP server, real and in this process, over a directory of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
from pydantic import SecretStr

from shared.gateways.feeds.sftp import SftpLogin

USER, PASSWORD = "retailer", "s3cret"


class _Server(asyncssh.SSHServer):
    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)


@dataclass
class SftpServer:
    """Where it is reached, which key it has, and what lies in its directory ``outbound``."""

    port: int
    host_key: str
    home: Path

    @property
    def outbound(self) -> Path:
        return self.home / "outbound"

    def drop(self, **changes: Any) -> dict[str, Any]:
        """The drop of a source that leaves its files here."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "username": USER,
            "host_key": self.host_key,
            "directory": "outbound",
            "pattern": "*.csv",
            "every": "PT1S",
        } | changes

    @property
    def login(self) -> SftpLogin:
        return SftpLogin(password=SecretStr(PASSWORD))


@asynccontextmanager
async def sftp_server(home: Path) -> AsyncIterator[SftpServer]:
    """A server for the length of the block."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    (home / "outbound").mkdir()

    def sftp(channel: asyncssh.SSHServerChannel[bytes]) -> asyncssh.SFTPServer:
        return asyncssh.SFTPServer(channel, chroot=str(home).encode())

    listening = await asyncssh.listen("127.0.0.1", 0, server_factory=_Server, server_host_keys=[key], sftp_factory=sftp)
    try:
        yield SftpServer(listening.get_port(), key.export_public_key("openssh").decode().strip(), home)
    finally:
        listening.close()
        await listening.wait_closed()
