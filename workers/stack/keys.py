"""Secrets of the embedded stack: generated once, kept beside its data, never shown."""

from __future__ import annotations

import secrets
from pathlib import Path

from pydantic import BaseModel, Field

from workers.stack.files import write_privately


class Keys(BaseModel, frozen=True):
    """What the embedded stack must know again at its next start.

    Attributes:
        postgres_password: Of the embedded server's one account.
        partner_key: Master key of the partners' shared secrets, when the user brings none.
    """

    postgres_password: str = Field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    partner_key: str = Field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


def keys_of(home: Path) -> Keys:
    """Return the keys of this home, made at the first call."""
    path = home / "secrets.json"
    if path.exists():
        return Keys.model_validate_json(path.read_text())
    keys = Keys()
    write_privately(path, keys.model_dump_json(indent=2))
    return keys
