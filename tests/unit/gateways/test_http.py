from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.domain.base import Minor, Model
from shared.errors import PartnerRefused, PartnerUnavailable
from shared.gateways.http import Answer, parse, retry_after

JSON = {"content-type": "application/json"}
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class Receipt(Model):
    id: str
    amount_minor: Minor = 0


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(status, {**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}, body)


UNUSABLE = [
    answer(200),  # success in name only
    answer(200, b"{}"),  # no id
    answer(202, b'{"status": "queued"}'),  # accepted, but nothing to find it by
    answer(204),
    answer(200, b'{"id": "a"'),  # truncated where the length did not say so
    answer(200, b'{"id": 7}'),  # another type
    answer(200, b'{"id": null}'),
    answer(200, b'{"error": "insufficient stock"}'),  # 200 with an error body
    answer(200, b'{"id": "a", "amount_minor": NaN}'),
    answer(200, b'{"id": "a", "amount_minor": "10"}'),  # nothing is coerced
    answer(200, b'{"id": "a", "amount_minor": 1.5}'),
    answer(200, b'{"id": "a", "amount_minor": -1}'),
    answer(200, b'{"id": "a", "amount_minor": true}'),
    answer(200, b"[" * 100_000),
    answer(200, b"\xff\xfe"),
    answer(200, b"<html>OK</html>", content_type="text/html"),
    answer(200, b'{"id": "a"}', content_type="text/plain"),
    answer(301, b"", location="http://elsewhere/"),
    answer(302, b"", location="http://169.254.169.254/"),
    answer(304),
    answer(408),
    answer(409, b'{"code": "in_progress"}'),  # known or under way: look it up
    answer(425),
    answer(429),
    answer(500),
    answer(502, b"<html>Bad gateway</html>", content_type="text/html"),
    answer(503),
    answer(504),
    answer(599),
]

REFUSED = [400, 401, 402, 403, 404, 405, 410, 413, 415, 422, 451]


@pytest.mark.parametrize("given", UNUSABLE, ids=lambda given: f"{given.status}-{given.body[:24]!r}")
def test_nothing_is_known_of(given: Answer) -> None:
    with pytest.raises(PartnerUnavailable):
        parse(given, Receipt)


@pytest.mark.parametrize("status", REFUSED)
def test_the_partner_refused(status: int) -> None:
    with pytest.raises(PartnerRefused) as refused:
        parse(answer(status, b'{"code": "no_such_service"}'), Receipt)
    assert refused.value.details == {"status": status, "reason": "no_such_service"}


@pytest.mark.parametrize("status", [200, 201, 202])
def test_success_is_a_whole_document(status: int) -> None:
    got = parse(answer(status, b'{"id": "a", "news": 1}', content_type="application/json; charset=utf-8"), Receipt)
    assert got.id == "a"


def test_what_a_partner_says_is_not_repeated() -> None:
    # An error body may hold personal data or forge log lines: only a plain code is taken from it.
    with pytest.raises(PartnerRefused) as refused:
        parse(answer(400, b'{"code": "Bad\\nADMIN", "detail": "Jane Doe, 1 Main St"}'), Receipt)
    assert str(refused.value) == "answered 400"
    with pytest.raises(PartnerUnavailable) as unusable:
        parse(answer(200, b'{"id": {"name": "Jane Doe"}}'), Receipt)
    assert "Jane" not in str(unusable.value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("120", 60),  # capped
        ("9" * 400, 60),  # absurd
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),  # in the past
        ("Fri, 31 Dec 9999 23:59:59 GMT", 60),
        ("Sunday, 01-Mar-26 12:00:10 GMT", 10),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("١٢", None),  # digits, but not HTTP's
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after(value, longest=60, now=NOW) == seconds


def test_retry_after_reaches_the_caller() -> None:
    with pytest.raises(PartnerUnavailable) as later:
        parse(answer(503, retry_after="3"), Receipt)
    assert later.value.retry_after == 3
