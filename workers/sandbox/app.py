"""The sandbox: every outside party DOMS needs, in one process, over real sockets.

Partner ``p`` answers under ``/{p}/v1``; what it is follows from what it is asked.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from workers.sandbox import carriers, floor
from workers.sandbox.config import SandboxConfig
from workers.sandbox.control import control_routes
from workers.sandbox.faults import Faults
from workers.sandbox.routes import partner_routes
from workers.sandbox.world import World

logger = logging.getLogger(__name__)


class Sandbox:
    """An application to serve, and its inside for whoever runs it in their own process."""

    def __init__(self, config: SandboxConfig) -> None:
        self.world = World(config)
        self.world.agenda.handlers.update(
            accept=partial(floor.accept, self.world),
            pack=partial(floor.pack_job, self.world),
            ship=partial(floor.ship, self.world),
            receive=partial(floor.receive, self.world),
            scan=partial(carriers.scanned, self.world),
        )
        inner = Starlette(lifespan=self._lifespan)
        self.faults = Faults(inner)
        # Control first, so that no partner can be called "control".
        inner.router.routes.extend([*control_routes(self.world, self.faults), *partner_routes(self.world)])
        self.app: ASGIApp = self.faults

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        running = [asyncio.create_task(self.world.agenda.run())]
        if self.world.messenger is not None:
            running.append(asyncio.create_task(self.world.messenger.run()))
        for task in running:
            task.add_done_callback(_fell_over)
        try:
            yield
        finally:
            for task in running:
                task.remove_done_callback(_fell_over)
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            self.world.store.close()


async def serve(config: SandboxConfig, host: str, port: int) -> None:
    """Run the sandbox until the process is told to stop."""
    await _server(config).serve(sockets=[_bind(host, port)])


@asynccontextmanager
async def running(config: SandboxConfig, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """A sandbox in this process; its address. Port 0 takes a free one."""
    bound = _bind(host, port)
    server = _server(config)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        while not server.started:
            if serving.done():
                serving.result()
                raise RuntimeError("the sandbox did not start")
            await asyncio.sleep(0.005)
        yield f"http://{host}:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


def _fell_over(task: asyncio.Task[None]) -> None:
    """A world that stands still would look like silent partners: stop instead, and say why."""
    logger.critical("the sandbox cannot go on", exc_info=None if task.cancelled() else task.exception())
    signal.raise_signal(signal.SIGTERM)


def _server(config: SandboxConfig) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            Sandbox(config).app,
            log_level="warning",
            log_config=None,  # how to log is for the program to say
            access_log=False,
            lifespan="on",
            http="h11",  # the faults reach beneath this implementation
            ws="none",
            proxy_headers=False,
            timeout_keep_alive=60,  # longer than any client's, or the two sides race to close
            timeout_graceful_shutdown=1,
        )
    )


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without it each answer waits for a delayed ACK.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    return bound
