"""The HTTP door: the partners' inbox and the health of this process.

A partner's message is authenticated by its signature, applied to the facts in one transaction, and only
then answered; the order's process is woken after that. A message answered with 2xx is never lost, and one
that is sent again changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.client import Doms
from shared.database import inbox
from shared.database.engine import Database, around_races, is_unreachable
from shared.database.inbox import Taken, WakeUp
from shared.errors import DomsError, Fault, InvalidInput, Unavailable
from shared.gateways.partner_messages import PartnerMessage
from shared.gateways.signing import secret_for, verify
from shared.settings import Settings
from shared.telemetry import set_up_logs
from shared.wakes_client import tell
from workers.connect import temporal_client

#: A ship confirm of an order of ten thousand lines is about one megabyte.
MAX_MESSAGE_BYTES = 4 * 2**20
_MESSAGE: TypeAdapter[Any] = TypeAdapter(PartnerMessage)
_STATUS = {
    "invalid_input": 400,
    "not_allowed": 401,
    "invalid_signature": 401,
    "not_found": 404,
    "conflict": 409,
    "unavailable": 503,
}
log = structlog.get_logger("api")


class Inbox:
    """Applies partners' messages and wakes the processes that have to act on them."""

    def __init__(self, doms: Doms, partner_key: str) -> None:
        self._doms = doms
        self._partner_key = partner_key

    async def receive(self, partner_id: str, headers: Any, body: bytes) -> None:
        """Authenticate, apply, wake.

        Raises:
            NotAllowed: the signature is not the partner's, or the message is about another partner's work.
            InvalidInput: it is not a message we know.
        """
        verify(secret_for(self._partner_key, partner_id), headers, body)
        taken = await self._apply(partner_id, _parse(body))
        for wake_up in taken.wakes:
            await self._wake(wake_up)
        await tell(self._doms.database, self._doms, taken.served)

    async def _apply(self, partner_id: str, message: PartnerMessage) -> Taken:
        async for attempt in around_races():
            with attempt:
                async with self._doms.database.transaction() as connection:
                    return await inbox.take(connection, partner_id, message)
        raise AssertionError("around_races ends with a result or an error")

    async def _wake(self, wake_up: WakeUp) -> None:
        heard = await self._doms.wake(wake_up.workflow_id, wake_up.wake)
        async with self._doms.database.statement() as connection:
            await inbox.mark_signalled(connection, wake_up, heard=heard)


def _parse(body: bytes) -> PartnerMessage:
    try:
        message: PartnerMessage = _MESSAGE.validate_json(body)
    except ValidationError as error:
        faults = [
            Fault(pointer="/" + "/".join(map(str, fault["loc"])), code=fault["type"], message=fault["msg"])
            for fault in error.errors(include_url=False, include_input=False)[:100]
        ]
        raise InvalidInput(faults) from error
    return message


def make_app(inbox_: Inbox, doms: Doms) -> FastAPI:
    """The application over a running DOMS."""
    app = FastAPI(title="DOMS", docs_url="/docs", redoc_url=None)

    @app.post("/v1/partners/{partner_id}/messages", status_code=204)
    async def receive(partner_id: str, request: Request) -> Response:
        body = await _read(request)
        await inbox_.receive(partner_id, request.headers, body)
        return Response(status_code=204)

    @app.get("/health")
    async def health() -> dict[str, str]:
        async with doms.database.reading() as connection:
            await connection.execute(text("SELECT 1"))
        return {"status": "ok"}

    @app.exception_handler(DomsError)
    async def refused(_: Request, error: DomsError) -> JSONResponse:
        return problem(error)

    @app.exception_handler(DBAPIError)
    async def database_away(_: Request, error: DBAPIError) -> JSONResponse:
        if not is_unreachable(error):
            log.error("database error", error=str(error.orig)[:500])
        return problem(Unavailable("the database does not answer; send the same again"))

    return app


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_MESSAGE_BYTES:
            message = f"a message has at most {MAX_MESSAGE_BYTES} bytes"
            raise InvalidInput([Fault(pointer="", code="too_large", message=message)])
    return bytes(body)


def problem(error: DomsError) -> JSONResponse:
    """RFC 9457: what was wrong, where, and what to do; never a stack, SQL or a host."""
    status = _STATUS.get(error.code, 500)
    body: dict[str, Any] = {"type": "about:blank", "title": error.code, "status": status, "detail": str(error)}
    if isinstance(error, InvalidInput):
        body["errors"] = [fault.model_dump() for fault in error.faults]
    headers = {"Retry-After": "2"} if status == 503 else None
    return JSONResponse(body, status_code=status, media_type="application/problem+json", headers=headers)


@asynccontextmanager
async def _doms(settings: Settings) -> AsyncIterator[Doms]:
    temporal = await temporal_client(settings, program="api", patience=60)
    database = Database(settings.database_url)
    try:
        yield Doms(temporal, database)
    finally:
        await database.close()


async def serve(settings: Settings, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    set_up_logs(log_format=settings.log_format, level=settings.log_level)
    async with _doms(settings) as doms:
        app = make_app(Inbox(doms, settings.partner_key.get_secret_value()), doms)
        config = uvicorn.Config(
            app, host=host, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=5
        )
        await uvicorn.Server(config).serve()
