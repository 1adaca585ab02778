"""How a program of ours finds and joins the servers: by its settings, else by the embedded stack that runs here."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from shared.errors import Unavailable
from shared.settings import Settings

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.service import TLSConfig

    from shared.client import Doms
    from shared.quotes_client import Quoting
    from workers.stack import StackAddresses

NO_STACK = "no stack is running: start one with `make up`, or set DOMS_DATABASE_URL and DOMS_TEMPORAL_ADDRESS"


def settings_in_effect() -> Settings:
    """The settings, filled in from the embedded stack of ``home`` where they leave an address open.

    Raises:
        Unavailable: an address is missing and no stack runs to take it from.
    """
    settings = joined(Settings())
    if not settings.database_url or not settings.temporal_address:
        raise Unavailable(NO_STACK, home=str(settings.home))
    return settings


def joined(settings: Settings) -> Settings:
    """The settings with what a running stack knows of its own addresses; unchanged when none runs."""
    if settings.database_url and settings.temporal_address:
        return settings
    addresses = _stack_addresses(settings)
    if addresses is None:
        return settings
    known = {
        "database_url": addresses.database_url,
        "temporal_address": addresses.temporal_address,
        "api_url": addresses.api_url,
        "partner_key": SecretStr(addresses.partner_key),
    }
    return settings.model_copy(update={name: value for name, value in known.items() if not _given(settings, name)})


def _given(settings: Settings, name: str) -> bool:
    value = getattr(settings, name)
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _stack_addresses(settings: Settings) -> StackAddresses | None:
    from workers.stack import Phase, status

    state = status(settings)
    return state.addresses if state.phase in (Phase.STARTING, Phase.RUNNING) else None


def sandbox_database(settings: Settings) -> Path:
    """Where the sandbox partners keep their own log: the referee of what really happened outside."""
    return settings.home / "sandbox" / "partners.sqlite"


async def temporal_client(settings: Settings, *, program: str = "doms", patience: float = 0.0) -> Client:
    """Connect to Temporal.

    Args:
        program: Who we are in the server's histories, with host and process.
        patience: Seconds to keep trying while the server starts.

    Raises:
        Unavailable: the server does not answer.
    """
    from temporalio.client import Client
    from tenacity import AsyncRetrying, stop_after_delay, wait_exponential_jitter

    from shared.codec import data_converter

    api_key = settings.temporal_api_key.get_secret_value()
    try:
        async for attempt in AsyncRetrying(
            wait=wait_exponential_jitter(initial=0.2, max=5), stop=stop_after_delay(patience), reraise=True
        ):
            with attempt:
                return await Client.connect(
                    settings.temporal_address,
                    namespace=settings.temporal_namespace,
                    data_converter=data_converter(settings.payload_keys.get_secret_value()),
                    api_key=api_key or None,
                    tls=_tls(settings),
                    identity=f"{program}@{socket.gethostname()}:{os.getpid()}",
                )
    except RuntimeError as error:
        raise Unavailable(f"Temporal at {settings.temporal_address} does not answer: {error}") from error
    raise AssertionError("a retry either returns or raises")


def _tls(settings: Settings) -> TLSConfig | bool:
    from temporalio.service import TLSConfig

    files = (settings.temporal_tls_ca, settings.temporal_tls_cert, settings.temporal_tls_key)
    if not any(files):
        return settings.temporal_tls or bool(settings.temporal_api_key.get_secret_value())
    ca, certificate, key = (file.read_bytes() if file else None for file in files)
    return TLSConfig(server_root_ca_cert=ca, client_cert=certificate, client_private_key=key)


@asynccontextmanager
async def doms_client(settings: Settings | None = None, *, program: str = "doms") -> AsyncIterator[Doms]:
    """A client of the running system for the length of the block.

    Raises:
        Unavailable: no stack is running, or one of its servers does not answer.
    """
    from shared.client import Doms
    from shared.database.engine import Database

    settings = settings or settings_in_effect()
    temporal = await temporal_client(settings, program=program)
    database = Database(settings.database_url, pool_size=4)
    try:
        yield Doms(temporal, database)
    finally:
        await database.close()


@asynccontextmanager
async def quoting(doms: Doms, settings: Settings | None = None) -> AsyncIterator[Quoting]:
    """The carriers of a running system, to be asked for quotes for the length of the block."""
    from shared.database.network import read_partners
    from shared.gateways.directory import Gateways
    from shared.quotes_client import Quoting

    settings = settings or settings_in_effect()
    async with doms.database.reading() as connection:
        partners = await read_partners(connection)
    async with Gateways(partners, settings.partner_key.get_secret_value()) as gateways:
        yield Quoting(doms.database, gateways)
