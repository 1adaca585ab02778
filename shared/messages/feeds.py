"""What the run of a feed starts with, and what it comes to."""

from __future__ import annotations

from pydantic import Field

from shared.domain.base import Instant, Model


class FeedRunInput(Model):
    """A file that has been taken in and is to be applied."""

    source_id: str
    run_id: str


class FeedRun(Model):
    """One run of one file.

    Attributes:
        status: ``received``, ``staged`` (read and resolved), ``applied``, or ``refused`` as a whole.
        rows: Figures in the file, refused ones included.
        staged: Positions that differ from what the file says, those of missing items included.
        done: How many of them have been brought to it.
        changed: Positions that are now what the source says.
        zeroed: Positions of items missing in the file that are now empty.
        floored: Positions kept at what orders and carts claim, although the source says fewer.
        code: Why the file was refused, for programs; ``message`` says it to people.
        again: Whether this is the answer to a file that was taken in before.
        orders_woken: How many orders waited for what the file brought.
    """

    run_id: str
    source_id: str
    status: str
    file_name: str
    received_at: Instant
    finished_at: Instant | None = None
    as_of: Instant | None = None
    control_no: str | None = None
    rows: int = 0
    refused: int = 0
    staged: int = 0
    done: int = 0
    changed: int = 0
    zeroed: int = 0
    floored: int = 0
    code: str = ""
    message: str = ""
    again: bool = False
    orders_woken: int = 0

    @property
    def unchanged(self) -> int:
        """Rows that say what was so already."""
        return max(0, self.rows - self.refused - self.changed) if self.status == "applied" else 0

    @property
    def over(self) -> bool:
        return self.status in ("applied", "refused")

    def __str__(self) -> str:
        if self.status == "refused":
            return f"refused: {self.message}"
        if self.status == "applied":
            return f"{self.rows} rows: {self.changed} changed, {self.unchanged} unchanged, {self.refused} refused"
        return f"{self.done} of {self.staged} positions, {self.refused} rows refused"


class FeedPollInput(Model):
    """A look into a source's directory."""

    source_id: str


class FetchedFile(Model):
    """A file of a directory that has been taken in, and the run of its content.

    Attributes:
        size: Bytes, as the directory said when it was fetched; with ``modified`` it tells the file from a later one.
    """

    source_id: str
    name: str
    size: int
    modified: Instant
    run: FeedRun


class FetchedFiles(Model):
    """What one look into a directory brought, the oldest first.

    Attributes:
        waiting: Files that are not whole yet.
    """

    files: tuple[FetchedFile, ...] = ()
    waiting: int = 0


class FeedWatchInput(Model):
    """A look at how old the figures of all sources are."""


class FeedWatchResult(Model):
    """How many nodes' figures are of which state, and the positions whose buffer was changed."""

    states: dict[str, int] = Field(default_factory=dict)
    rebuffered: int = 0
    orders_woken: int = 0


def feed_workflow_id(source_id: str, run_id: str) -> str:
    return f"feed/{source_id}/{run_id}"
