from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.errors import NotAllowed
from shared.gateways.signing import InvalidSignature, secret_for, sign, token_for, verify

MASTER = "a master key of the tests"
SECRET = secret_for(MASTER, "acme")
BODY = b'{"type": "fulfillment.accepted", "reference": "web/1/f1"}'
ID = "accepted:0123"


def signed(**changes: str) -> dict[str, str]:
    """Headers that would pass, but for the changes; an empty value removes the header."""
    headers = sign(SECRET, ID, datetime.now(UTC), BODY)
    headers.update({f"webhook-{name}": value for name, value in changes.items()})
    return {name: value for name, value in headers.items() if value}


def signature() -> str:
    return signed()["webhook-signature"]


def timestamp(seconds: float = 0) -> str:
    return str(int(datetime.now(UTC).timestamp() + seconds))


def stale(seconds: float) -> dict[str, str]:
    return sign(SECRET, ID, datetime.now(UTC) + timedelta(seconds=seconds), BODY)


def by_hand(message_id: str, at: str, body: bytes, *, algorithm: str = "sha256") -> str:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    code = hmac.new(key, f"{message_id}.{at}.".encode() + body, getattr(hashlib, algorithm))
    return "v1," + base64.b64encode(code.digest()).decode()


def dotted() -> dict[str, str]:
    at = timestamp()
    return {"webhook-id": "a.b", "webhook-timestamp": at, "webhook-signature": by_hand("a.b", at, BODY)}


BAD_HEADERS: dict[str, dict[str, str]] = {
    "none": {},
    "no id": signed(id=""),
    "no timestamp": signed(timestamp=""),
    "no signature": signed(signature=""),
    "another id": signed(id="accepted:9999"),
    "id with a dot, well signed": dotted(),
    "id not ascii": signed(id="acceptéd"),
    "id too long": signed(id="a" * 5000),
    "another timestamp": signed(timestamp=timestamp(-10)),
    "stale by a little": stale(-302),
    "stale by a day": stale(-86_400),
    "from the future": stale(86_400),
    "from next year": stale(365 * 86_400),
    "epoch": stale(-datetime.now(UTC).timestamp() + 1),
    "timestamp zero": signed(timestamp="0"),
    "timestamp negative": signed(timestamp="-1"),
    "timestamp fraction": signed(timestamp=timestamp() + ".5"),
    "timestamp exponent": signed(timestamp="1e9"),
    "timestamp nan": signed(timestamp="nan"),
    "timestamp infinite": signed(timestamp="inf"),
    "timestamp huge": signed(timestamp="9" * 400),
    "timestamp words": signed(timestamp="now"),
    "timestamp padded": signed(timestamp=f" {timestamp()}"),
    "timestamp leading zero": signed(timestamp=f"0{timestamp()}"),
    "timestamp underscore": signed(timestamp="1_700_000_000"),
    "timestamp arabic": signed(timestamp="١٧٠٠٠٠٠٠٠٠"),
    "timestamp milliseconds": signed(timestamp=timestamp() + "000"),
    "version only": signed(signature="v1"),
    "three parts": signed(signature="v1,a,b"),
    "no version": signed(signature=signature().removeprefix("v1,")),
    "empty signature": signed(signature="v1,"),
    "only commas": signed(signature=",,,"),
    "only a space": signed(signature=" "),
    "not base64": signed(signature="v1,!!!!"),
    "bad padding": signed(signature="v1,abcde"),
    "not ascii": signed(signature="v1,ÿÿÿÿ"),
    "one bit off": signed(signature="v1," + base64.b64encode(b"\x00" * 32).decode()),
    "half a signature": signed(signature=signature()[:20]),
    "another version": signed(signature=signature().replace("v1,", "v2,")),
    "asymmetric version": signed(signature=signature().replace("v1,", "v1a,")),
    "upper-case version": signed(signature=signature().replace("v1,", "V1,")),
    "good after malformed": signed(signature=f"v1 {signature()}"),
    "another hash": signed(signature=by_hand(ID, timestamp(), BODY, algorithm="sha512")),
    "hexadecimal": signed(signature="v1," + hashlib.sha256(BODY).hexdigest()),
    "newline": signed(signature=f"{signature()}\n{signature()}"),
    "too long": signed(signature=" ".join([signature()] * 200)),
    "another partner's": sign(secret_for(MASTER, "other"), ID, datetime.now(UTC), BODY),
    "another master's": sign(secret_for(MASTER + "!", "acme"), ID, datetime.now(UTC), BODY),
    "bearer token as secret": sign("whsec_" + token_for(MASTER, "acme"), ID, datetime.now(UTC), BODY),
}

BAD_BODIES: dict[str, bytes] = {
    "empty": b"",
    "another": BODY.replace(b"f1", b"f2"),
    "a space more": BODY + b" ",
    "a byte less": BODY[:-1],
    "not utf-8": b"\xff\xfe\x00",
    "surrogate": b"\xed\xa0\x80",
}


def test_a_signed_message_passes() -> None:
    verify(SECRET, signed(), BODY)
    verify(SECRET, {name.title(): value for name, value in signed().items()}, BODY)


@pytest.mark.parametrize("seconds", [-295, 295])
def test_the_window_is_300_seconds_either_way(seconds: float) -> None:
    verify(SECRET, stale(seconds), BODY)


def test_a_second_signature_serves_rotation() -> None:
    other = sign(secret_for(MASTER, "old"), ID, datetime.now(UTC), BODY)["webhook-signature"]
    verify(SECRET, signed(signature=f"{other} v2,xyz {signature()}"), BODY)


def test_any_zone_signs_the_same_instant() -> None:
    tokyo = datetime.now(UTC).astimezone(timezone(timedelta(hours=9)))
    verify(SECRET, sign(SECRET, ID, tokyo, BODY), BODY)


@pytest.mark.parametrize("headers", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_bad_headers_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidSignature):
        verify(SECRET, headers, BODY)


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_other_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidSignature):
        verify(SECRET, signed(), body)


def test_the_corpus_is_large_enough() -> None:
    assert len(BAD_HEADERS) + len(BAD_BODIES) >= 50
    assert issubclass(InvalidSignature, NotAllowed)


def test_a_dot_in_the_id_is_the_senders_mistake() -> None:
    with pytest.raises(ValueError, match="dot"):
        sign(SECRET, "a.b", datetime.now(UTC), BODY)


def test_secrets_are_stable_and_apart() -> None:
    made = [f(MASTER, partner) for f in (secret_for, token_for) for partner in ("acme", "acme2", "")]
    assert len(set(made)) == len(made)
    assert made == [f(MASTER, partner) for f in (secret_for, token_for) for partner in ("acme", "acme2", "")]
    assert len(base64.b64decode(SECRET.removeprefix("whsec_"))) == 32


@pytest.mark.parametrize("master", ["", "short"])
def test_a_guessable_master_key_is_refused(master: str) -> None:
    with pytest.raises(ValueError, match="DOMS_PARTNER_KEY"):
        secret_for(master, "acme")
