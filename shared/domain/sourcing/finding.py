"""What is wrong with a policy."""

from __future__ import annotations

from shared.domain.base import Model


class Finding(Model):
    """One thing wrong with a policy; ``pointer`` is a JSON pointer into its file."""

    pointer: str
    code: str
    message: str
