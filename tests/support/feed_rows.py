"""Rows of a feed's file, each of them read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from unittest.mock import patch

from shared.gateways.feeds import csv_file
from shared.gateways.feeds.figures import FeedFile, Figure, Lines, Refusal


def rows_read(file: FeedFile, content: bytes) -> Iterator[Figure | Refusal]:
    """What a file says if no line of it is taken as it is written."""
    with patch.object(csv_file, "can_be_plain", return_value=False):
        for part in file.parts(io.BytesIO(content)):
            assert not isinstance(part, Lines)
            yield part
