"""HTTP to outside parties: the one module that knows the HTTP library.

A call ends in exactly one of three ways: a whole, well-formed answer to the reference it was sent for;
``PartnerRefused``, when the party understood and said no; or ``PartnerUnavailable``, when nothing is known.
Success is never read from the status alone. Nothing is retried here and no redirect is followed: retries
belong to the caller, who looks the reference up first.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import NamedTuple, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from shared.errors import PartnerRefused, PartnerUnavailable
from shared.gateways.guard import Guard, Limits

A = TypeVar("A", bound=BaseModel)

#: 409 is here because a partner says it of a key it is still working on or has already seen: look it up.
_TRY_LATER = {408, 409, 425, 429}
_CODE = re.compile(r'"code"\s*:\s*"([a-z0-9_]{1,64})"')
UNKNOWN_REFERENCE = "unknown_reference"


class Answer(NamedTuple):
    """A whole HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The machine-readable code of an error answer; empty when there is none."""
        found = _CODE.search(self.body[:4096].decode("utf-8", "replace"))
        return found.group(1) if found else ""


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)  # tens of milliseconds each, so one serves every partner


class HttpClient:
    """Sends a request and brings the whole answer back within the deadline, or raises ``PartnerUnavailable``."""

    def __init__(self, base_url: str, limits: Limits, *, headers: Mapping[str, str] | None = None) -> None:
        self._limits = limits
        self._client = httpx.AsyncClient(
            base_url=base_url.rstrip("/"),
            # An encoded answer could unpack to any size: ask for none, and read raw bytes.
            headers={"accept": "application/json", "accept-encoding": "identity", **(headers or {})},
            timeout=httpx.Timeout(limits.deadline, connect=limits.connect),
            limits=httpx.Limits(max_connections=limits.in_flight, max_keepalive_connections=limits.in_flight),
            follow_redirects=False,
            trust_env=False,
            verify=_tls(),
        )

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        within: float | None = None,
    ) -> Answer:
        """``within`` is the deadline in seconds; without it the partner's own is."""
        deadline = self._limits.deadline if within is None else within
        try:
            async with (
                asyncio.timeout(deadline),
                self._client.stream(method, path, content=body, headers=headers, params=params) as response,
            ):
                return Answer(response.status_code, response.headers, await self._read(response))
        except TimeoutError:
            raise PartnerUnavailable(f"no answer within {deadline:g} s") from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise PartnerUnavailable(f"no answer: {type(error).__name__}") from error

    async def _read(self, response: httpx.Response) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_raw():
            size += len(part)
            if size > self._limits.max_answer:
                raise PartnerUnavailable(f"the answer is larger than {self._limits.max_answer} bytes")
            parts.append(part)
        return b"".join(parts)

    async def aclose(self) -> None:
        await self._client.aclose()


class PartnerHttp:
    """One partner's side of every call: its address, its credentials, its share of us."""

    def __init__(self, partner_id: str, base_url: str, token: str, limits: Limits | None = None) -> None:
        self.partner_id = partner_id
        self._limits = limits or Limits()
        self.guard = Guard(partner_id, self._limits)
        self._http = HttpClient(base_url, self._limits, headers={"authorization": f"Bearer {token}"})

    async def post(
        self, path: str, document: BaseModel, answer: type[A], *, reference: str, within: float | None = None
    ) -> A:
        """Send a document under its idempotency key. The answer must repeat the reference."""
        headers = {"content-type": "application/json", "idempotency-key": reference}
        body = document.model_dump_json().encode()
        with self._named(reference), self.guard.call():
            sent = await self._http.send("POST", path, body=body, headers=headers, within=within)
            return self._accept(sent, answer, reference)

    async def find(self, path: str, answer: type[A], *, reference: str) -> A | None:
        """Look up what became of a reference; ``None`` only when the party itself says it never saw it.

        Raises ``PartnerUnavailable`` also when the look-up is refused: that says nothing of the effect, and must
        not be taken for the partner's refusal to do it.
        """
        with self._named(reference), self.guard.call():
            got = await self._http.send("GET", path, params={"reference": reference})
            if got.status == 404 and got.code == UNKNOWN_REFERENCE:
                return None
            try:
                return self._accept(got, answer, reference)
            except PartnerRefused as refusal:
                raise PartnerUnavailable(f"the look-up was refused: {refusal}", **refusal.details) from refusal

    async def aclose(self) -> None:
        await self._http.aclose()

    def _accept(self, answer: Answer, model: type[A], reference: str) -> A:
        parsed = parse(answer, model, max_retry_after=self._limits.max_retry_after)
        if getattr(parsed, "reference", None) != reference:
            raise PartnerUnavailable("the answer is for another reference")
        return parsed

    def _named(self, reference: str) -> _Named:
        return _Named(self.partner_id, reference)


class _Named:
    """Adds the partner and the reference to whatever gateway error passes through."""

    def __init__(self, partner_id: str, reference: str) -> None:
        self._details = {"partner": partner_id, "reference": reference}

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, PartnerUnavailable | PartnerRefused):
            error.details.update(self._details)


def parse(answer: Answer, model: type[A], *, max_retry_after: float = 60.0) -> A:
    """Classify an answer: the parsed body of a success, or one of the two errors."""
    if answer.ok:
        return _parse_body(answer, model)
    what = f"answered {answer.status} {answer.code}".rstrip()
    if answer.status >= 500 or answer.status < 400 or answer.status in _TRY_LATER:
        wait = retry_after(answer.headers.get("retry-after", ""), longest=max_retry_after)
        raise PartnerUnavailable(what, retry_after=wait, status=answer.status)
    raise PartnerRefused(what, status=answer.status, reason=answer.code)


def _parse_body(answer: Answer, model: type[A]) -> A:
    if not answer.headers.get("content-type", "").lower().startswith("application/json"):
        raise PartnerUnavailable(f"answered {answer.status} with something else than JSON")
    try:
        return model.model_validate_json(answer.body)
    except ValidationError as error:
        # The fields' values may be personal data: name the places only.
        places = ", ".join(".".join(map(str, fault["loc"])) or "/" for fault in error.errors()[:5])
        raise PartnerUnavailable(f"answered {answer.status} with an unusable body: {places}") from None


def retry_after(value: str, *, longest: float, now: datetime | None = None) -> float | None:
    """Seconds a Retry-After header asks for, never more than ``longest``; ``None`` when it makes no sense."""
    value = value.strip()
    if re.fullmatch(r"[0-9]+", value):
        return min(float(value[:18]), longest)
    try:
        at = parsedate_to_datetime(value)
        wait = (at.replace(tzinfo=at.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(wait, 0.0), longest)
