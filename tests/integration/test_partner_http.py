"""The HTTP client against a server that misbehaves byte by byte."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.domain.base import Model
from shared.errors import PartnerRefused, PartnerUnavailable
from shared.gateways.guard import Limits
from shared.gateways.http import PartnerHttp

LIMITS = Limits(deadline=0.5, connect=0.5, max_answer=10_000, failures=1000)
REF = "web/1/authorize/1"
GOOD = b'{"reference": "web/1/authorize/1"}'

Script = Callable[[asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Receipt(Model):
    reference: str


def response(body: bytes, *, status: str = "200 OK", length: int | None = None, headers: str = "") -> bytes:
    size = len(body) if length is None else length
    return (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n{headers}\r\n"
    ).encode() + body


@asynccontextmanager
async def partner(script: Script, limits: Limits = LIMITS) -> AsyncIterator[PartnerHttp]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"POST"):
                await reader.readexactly(len(Receipt(reference=REF).model_dump_json()))
            await script(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    http = PartnerHttp("acme", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "token", limits)
    try:
        yield http
    finally:
        await http.aclose()
        server.close()


async def post(http: PartnerHttp) -> Receipt:
    return await http.post("/v1/things", Receipt(reference=REF), Receipt, reference=REF)


def says(data: bytes) -> Script:
    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return script


async def silent(writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()


async def drips(writer: asyncio.StreamWriter) -> None:
    for byte in response(GOOD):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.1)


async def floods(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"400\r\n" + b" " * 1024 + b"\r\n")
        await writer.drain()


BAD: dict[str, Script] = {
    "nothing": says(b""),
    "silence": silent,
    "a byte at a time": drips,
    "no end": floods,
    "not HTTP": says(b"220 smtp.example.com ready\r\n"),
    "truncated": says(response(GOOD, length=500)),
    "only a head": says(b"HTTP/1.1 200 OK\r\n"),
    "larger than asked for": says(response(b'{"reference": "' + b"x" * 20_000 + b'"}')),
    "compressed": says(response(b"\x1f\x8b\x08\x00", headers="content-encoding: gzip\r\n")),
    "a redirect": says(response(b"", status="307 Moved", headers="location: http://127.0.0.1:1/\r\n")),
    "another reference": says(response(b'{"reference": "web/2/authorize/1"}')),
    "a web page": says(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nOK"),
    "a status of its own": says(response(GOOD, status="799 Odd")),
    "two lengths": says(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}"),
}


@pytest.mark.parametrize("script", BAD.values(), ids=BAD)
async def test_nothing_is_known_and_the_slot_is_free_in_time(script: Script) -> None:
    async with partner(script) as http:
        began = time.monotonic()
        with pytest.raises(PartnerUnavailable) as failed:
            await post(http)
        assert time.monotonic() - began < 5
        assert failed.value.details["partner"] == "acme"
        assert failed.value.details["reference"] == REF


async def test_a_good_answer() -> None:
    async with partner(says(response(GOOD))) as http:
        assert (await post(http)).reference == REF


async def test_only_the_partner_itself_can_say_that_it_never_saw_a_reference() -> None:
    unknown = response(b'{"code": "unknown_reference"}', status="404 Not Found")
    async with partner(says(unknown)) as http:
        assert await http.find("/v1/things", Receipt, reference=REF) is None


@pytest.mark.parametrize("status", ["404 Not Found", "401 Unauthorized", "400 Bad Request"])
async def test_a_refused_look_up_says_nothing_of_the_effect(status: str) -> None:
    async with partner(says(response(b"<html>", status=status))) as http:
        with pytest.raises(PartnerUnavailable):
            await http.find("/v1/things", Receipt, reference=REF)
        with pytest.raises(PartnerRefused):
            await post(http)


async def test_a_partner_that_is_not_there() -> None:
    http = PartnerHttp("acme", "http://127.0.0.1:1", "token", LIMITS)
    with pytest.raises(PartnerUnavailable):
        await post(http)
    await http.aclose()


async def test_a_dead_partner_is_asked_no_more() -> None:
    asked = 0

    async def count(writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await silent(writer)

    limits = Limits(deadline=0.2, in_flight=4, failures=4, pause=30)
    async with partner(count, limits) as http:
        results = await asyncio.gather(*(post(http) for _ in range(50)), return_exceptions=True)
        assert asked == 4, "the bulkhead lets no more through"
        more = await asyncio.gather(*(post(http) for _ in range(50)), return_exceptions=True)
        assert asked == 4, "the breaker is open"
    assert all(isinstance(result, PartnerUnavailable) for result in results + more)


async def test_cancelling_a_call_frees_its_slot() -> None:
    async with partner(silent, Limits(in_flight=1, failures=1000, deadline=5)) as http:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await post(http)
