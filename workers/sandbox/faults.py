"""Faults on demand between DOMS and one partner, beneath HTTP where they belong."""

from __future__ import annotations

import asyncio
from collections import Counter
from enum import StrEnum
from typing import Annotated
from urllib.parse import parse_qs

from pydantic import Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.domain.base import Identifier, Model
from workers.sandbox.chance import draw
from workers.sandbox.config import Odds


class Mode(StrEnum):
    """What goes wrong."""

    OK = "ok"
    DOWN = "down"  #: 503 at once; nothing is done
    REFUSE = "refuse"  #: 422 at once; nothing is done
    THROTTLE = "throttle"  #: 429 at once; nothing is done
    SLOW = "slow"  #: done, and answered one byte every ``Fault.seconds``
    DROP_RESPONSE = "drop_response"  #: done, and the connection closed without an answer
    TRUNCATE = "truncate"  #: done, and the connection closed in the middle of the answer
    ERROR_AFTER_EFFECT = "error500_after_effect"  #: done, and answered 500
    HTML = "html"  #: done, and answered 200 with a web page
    BLACKHOLE = "blackhole"  #: nothing is done and nothing is answered


class Fault(Model):
    """What is wrong with a partner.

    Attributes:
        path: Only requests whose path after the partner's ``v1`` begins so, such as ``quotes``; empty is all. What is
            said of a path goes before what is said of all.
        rate: Share of requests it happens to, drawn anew for each attempt at a reference.
        retry_after: The header of ``down`` and ``throttle``, sent as it is; empty sends none.
    """

    partner: Identifier
    mode: Mode
    path: str = ""
    rate: Odds = 1.0
    seed: int = 0
    seconds: Annotated[float, Field(ge=0)] = 1.0
    retry_after: str = ""


_NOTHING = Fault(partner="anybody", mode=Mode.OK)


class Faults:
    """Wraps the application. Faults live in memory: a restarted sandbox is well."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._faults: dict[tuple[str, str], Fault] = {}
        self._attempts: Counter[tuple[str, str, str]] = Counter()

    def set(self, fault: Fault) -> None:
        self._faults[fault.partner, fault.path] = fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self._fault(scope)
        match self._mode(scope, fault):
            case Mode.OK:
                await self._app(scope, receive, send)
            case Mode.DOWN:
                await _refuse(send, 503, fault.retry_after)
            case Mode.THROTTLE:
                await _refuse(send, 429, fault.retry_after)
            case Mode.REFUSE:
                await _refuse(send, 422, "")
            case Mode.BLACKHOLE:
                await _gone(receive)
            case mode:
                answer = await self._done(scope, receive)
                await _spoil(mode, answer, receive, send, fault.seconds)

    async def _done(self, scope: Scope, receive: Receive) -> list[Message]:
        """Let the partner do its work; returns the answer it wanted to give."""
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self._app(scope, receive, keep)
        return answer

    def _mode(self, scope: Scope, fault: Fault) -> Mode:
        if fault.mode is Mode.OK:
            return Mode.OK
        key = (fault.partner, scope["path"], _reference(scope))
        self._attempts[key] += 1
        lot = "/".join((*key, str(self._attempts[key])))
        return fault.mode if draw(fault.seed, "fault", lot) < fault.rate else Mode.OK

    def _fault(self, scope: Scope) -> Fault:
        """The one for the longest part of the path."""
        if scope["type"] != "http":
            return _NOTHING
        partner, path = _place(scope)
        fits = (fault for fault in self._faults.values() if fault.partner == partner and path.startswith(fault.path))
        return max(fits, key=lambda fault: len(fault.path), default=_NOTHING)


async def _spoil(mode: Mode, answer: list[Message], receive: Receive, send: Send, seconds: float) -> None:
    start, body = answer[0], b"".join(message.get("body", b"") for message in answer[1:])
    match mode:
        case Mode.DROP_RESPONSE:
            _hang_up(send)
            await _gone(receive)
        case Mode.TRUNCATE:
            # The server closes a connection whose answer is shorter than its content-length.
            await send(start)
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        case Mode.ERROR_AFTER_EFFECT:
            await _refuse(send, 500, "")
        case Mode.HTML:
            await _respond(send, 200, b"<html><body>OK</body></html>", [(b"content-type", b"text/html")])
        case Mode.SLOW:
            await send(start)
            for i in range(len(body)):
                await asyncio.sleep(seconds)
                await send({"type": "http.response.body", "body": body[i : i + 1], "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def _hang_up(send: Send) -> None:
    """Close the connection under the server, which knows no such answer."""
    send.__self__.transport.abort()  # type: ignore[attr-defined]


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Send, status: int, retry_after: str) -> None:
    headers = [(b"retry-after", retry_after.encode())] if retry_after else []
    await _respond(send, status, b'{"code": "fault"}', [(b"content-type", b"application/json"), *headers])


async def _respond(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _place(scope: Scope) -> tuple[str, str]:
    """The partner, and the path of what is asked of it."""
    path: str = scope["path"]
    partner, _, rest = path.lstrip("/").partition("/")
    return (partner, rest.removeprefix("v1/")) if rest.startswith("v1/") else ("", "")


def _reference(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"idempotency-key":
            return bytes(value).decode("latin-1")
    query: bytes = scope["query_string"]
    return parse_qs(query.decode("latin-1")).get("reference", [""])[0]
