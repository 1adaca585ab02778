"""Shared secrets of partners, and signatures on what they send us (Standard Webhooks 1.0.0).

Each partner's secrets are derived from one master key, so that none is stored and knowing one says nothing of
another's. Whatever is wrong with a signed request, :func:`verify` raises one error and says little.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from shared.errors import NotAllowed

MIN_MASTER = 16
_TIMESTAMP = re.compile(r"[1-9][0-9]{0,11}")
_MAX_HEADER = 4096


class InvalidSignature(NotAllowed):
    """A message that its alleged sender did not sign, or not now."""

    code = "invalid_signature"


def secret_for(master: str, partner_id: str) -> str:
    """The partner's secret for signing messages, ``whsec_...``."""
    return "whsec_" + base64.b64encode(_derive(master, f"webhook/{partner_id}")).decode()


def token_for(master: str, partner_id: str) -> str:
    """The bearer token with which we call the partner."""
    return base64.urlsafe_b64encode(_derive(master, f"token/{partner_id}")).rstrip(b"=").decode()


def sign(secret: str, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers that prove the body. ``message_id`` holds no dot: it separates the signed parts."""
    if "." in message_id:
        raise ValueError(f"a message id must not hold a dot: {message_id}")
    at = at.astimezone(UTC)  # the library takes the wall-clock digits for UTC, whatever their zone
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, body.decode()),
    }


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    """Check that the body was signed with the secret within 300 s of now, either way.

    Raises:
        InvalidSignature: for every request that does not pass, however malformed.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    sent = {name: lowered.get(name, "") for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
    if not _well_formed(sent):
        raise InvalidSignature("the request is not signed as Standard Webhooks asks: see the webhook-* headers")
    try:
        Webhook(secret).verify(body, sent, json_parse=False)
    except (WebhookVerificationError, ValueError):
        # ValueError: the library's own on a malformed signature, on bad base64 and on a body that is not UTF-8.
        raise InvalidSignature("the signature does not match, or was made more than 300 s from now") from None


def _well_formed(sent: Mapping[str, str]) -> bool:
    return (
        all(0 < len(value) <= _MAX_HEADER and value.isascii() for value in sent.values())
        and "." not in sent["webhook-id"]
        and _TIMESTAMP.fullmatch(sent["webhook-timestamp"]) is not None
    )


def _derive(master: str, purpose: str) -> bytes:
    if len(master) < MIN_MASTER:
        raise ValueError(f"the partner key must have at least {MIN_MASTER} characters: set DOMS_PARTNER_KEY")
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"doms/{purpose}".encode()).derive(master.encode())
