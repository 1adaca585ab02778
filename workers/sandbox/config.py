"""How the outside world behaves: speeds and odds as data."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from shared.domain.base import Model

Seconds = Annotated[float, Field(ge=0)]
Odds = Annotated[float, Field(ge=0, le=1)]


class Behaviour(StrEnum):
    """What a node does with a request."""

    ACCEPT = "accept"
    REJECT = "reject"
    SILENT = "silent"  #: takes the request and never says a word
    LATE = "late"  #: accepts after ``Pace.late_by``, then works as usual
    SHORT = "short"  #: ships fewer units than asked for, perhaps none


class Pace(Model):
    """How long things take, in seconds. Each is varied by ``jitter`` either way.

    Attributes:
        fetch_after: From a pickup's being ready to its customer's coming.
        transit: From hand-over to delivery; scans lie in between.
        return_after: From the notice of a return to its receipt.
        quote_lasts: From a carrier's quote to its end; not varied.
    """

    accept_after: Seconds = 0.5
    pack_after: Seconds = 1.0
    ship_after: Seconds = 0.5
    fetch_after: Seconds = 2.0
    late_by: Seconds = 60.0
    transit: Seconds = 5.0
    return_after: Seconds = 5.0
    quote_lasts: Seconds = 1800.0
    jitter: Odds = 0.2


class Rates(Model):
    """How often the world is not as one would like.

    Attributes:
        reject, silent, late, short: Shares of requests; what is left is accepted and shipped whole.
        delivery_exception: Share of parcels with an exception before they are delivered after all.
        scan_duplicate: Share of parcels whose scans are all sent twice, under the same message id.
        scan_reorder: Share of parcels whose first scan is sent after the last.
        out_for_delivery: Share of parcels that get this scan too; each scan is a message to handle.
        return_short: Share of returns from which a unit is missing.
        grade_b, grade_c, grade_d: Shares of returned lines that are not as new.
    """

    reject: Odds = 0.0
    silent: Odds = 0.0
    late: Odds = 0.0
    short: Odds = 0.0
    delivery_exception: Odds = 0.0
    scan_duplicate: Odds = 0.0
    scan_reorder: Odds = 0.0
    out_for_delivery: Odds = 1.0
    return_short: Odds = 0.0
    grade_b: Odds = 0.2
    grade_c: Odds = 0.08
    grade_d: Odds = 0.02


class SandboxConfig(Model):
    """One sandbox: where it keeps its log, whom it tells, and how it behaves.

    Attributes:
        api_url: Messages go to ``{api_url}/v1/partners/{partner_id}/messages``. Empty sends none.
        partner_key: The master key from which both sides derive each partner's secret and token.
        database: SQLite file of everything that was received, done and is still to be done.
        seed: What a request meets depends on this and its reference alone, never on timing.
        behaviours: What a node always does, by node id; the control interface can add to them.
        max_package_g: Heaviest package a node packs, unless a single unit is heavier.
    """

    api_url: str = ""
    partner_key: SecretStr
    database: Path
    seed: int = 0
    pace: Pace = Pace()
    rates: Rates = Rates()
    behaviours: Mapping[str, Behaviour] = Field(default_factory=dict)
    max_package_g: Annotated[int, Field(ge=1)] = 25_000
