"""A node's books: one job per request, whichever document it came in.

::

    requested ── accept ──▶ accepted ── pack ──▶ packed ── every package has a label ──▶ shipped
        │                       │
        ├──▶ rejected           └──▶ cancelled      (a packed job can no longer be cancelled)
        └──▶ cancelled, also before the request arrives
"""

from __future__ import annotations

import json
import sqlite3
from typing import NamedTuple

from pydantic import TypeAdapter

from shared.domain.base import Model
from shared.gateways.partner_messages import Package
from shared.gateways.protocol import Label, SendLabel, SuggestedPackage
from workers.sandbox.chance import behaviour_for, digest
from workers.sandbox.config import Behaviour
from workers.sandbox.packing import Pick, SharedParcel
from workers.sandbox.world import World

_PACKAGES = TypeAdapter(tuple[Package, ...])


class Work(Model):
    """What is to be shipped, in a node's own words."""

    node: str
    carrier: str
    service: str
    picks: tuple[Pick, ...]
    consolidation: str = ""
    packages: tuple[SuggestedPackage, ...] = ()


class Job(NamedTuple):
    """A row of the books.

    Attributes:
        kind: Begins the names of the job's effects.
        packages: How many it was packed into.
        awaiting: How many of them have no label yet.
    """

    partner: str
    reference: str
    kind: str
    state: str
    behaviour: Behaviour
    packages: int = 0
    awaiting: int = 0


def find(world: World, partner: str, reference: str) -> Job | None:
    row = world.store.one("SELECT * FROM job WHERE partner = ? AND reference = ?", partner, reference)
    return Job._make(row) if row else None


def open_job(world: World, partner: str, reference: str, kind: str, work: Work) -> Behaviour:
    """Enter a request, and decide once what will become of it."""
    behaviour = behaviour_for(
        world.config.seed, world.config.rates, world.overrides, node=work.node, reference=reference
    )
    job = Job(partner, reference, kind, "requested", behaviour)
    _insert(world, job)
    _keep(world, job, "work", work.model_dump_json())
    return behaviour


def forestall(world: World, partner: str, reference: str) -> None:
    """Enter a reference as cancelled before its request arrives, so that it never ships."""
    _insert(world, Job(partner, reference, "unknown", "cancelled", Behaviour.ACCEPT))


def move(world: World, job: Job, state: str) -> None:
    world.store.execute(
        "UPDATE job SET state = ? WHERE partner = ? AND reference = ?", state, job.partner, job.reference
    )


def packed(world: World, job: Job, packages: tuple[Package, ...], *, awaiting: int) -> None:
    world.store.execute(
        "UPDATE job SET state = 'packed', packages = ?, awaiting = ? WHERE partner = ? AND reference = ?",
        len(packages),
        awaiting,
        job.partner,
        job.reference,
    )
    _keep(world, job, "packages", _PACKAGES.dump_json(packages).decode())


def work_of(world: World, job: Job) -> Work:
    return Work.model_validate_json(_kept(world, job, "work"))


def packages_of(world: World, job: Job) -> tuple[Package, ...]:
    return _PACKAGES.validate_json(_kept(world, job, "packages"))


def last_parcel(world: World, partner: str, consolidation: str) -> SharedParcel:
    """The parcel of a consolidation that was begun last."""
    row = world.store.one(
        "SELECT parcel_no, weight_g FROM shared_parcel WHERE partner = ? AND consolidation = ?"
        " ORDER BY parcel_no DESC LIMIT 1",
        partner,
        consolidation,
    )
    return SharedParcel(**row) if row else SharedParcel(parcel_no=1, weight_g=0)


def fill_parcels(world: World, partner: str, consolidation: str, packages: tuple[Package, ...]) -> None:
    """Put packages into the parcels that they name."""
    for package in packages:
        world.store.execute(
            "INSERT INTO shared_parcel VALUES (?, ?, ?, ?) ON CONFLICT (partner, consolidation, parcel_no)"
            " DO UPDATE SET weight_g = weight_g + excluded.weight_g",
            partner,
            consolidation,
            package.parcel_no,
            package.weight_g,
        )


def stick(world: World, job: Job, asked: SendLabel) -> bool:
    """Put a label on a package; whether it was the last one missing. Sticking the same one again does nothing.

    Raises:
        sqlite3.IntegrityError: the package has another label.
    """
    label = asked.label
    key = (job.partner, job.reference, asked.package_no)
    row = world.store.one("SELECT body FROM job_label WHERE partner = ? AND reference = ? AND package_no = ?", *key)
    if row is not None:
        if Label.model_validate_json(row["body"]).label_id != label.label_id:
            raise sqlite3.IntegrityError("the package has another label")
        return False
    together = json.dumps(asked.together)
    world.store.insert("INSERT INTO job_label VALUES (?, ?, ?, ?, ?)", *key, label.model_dump_json(), together)
    world.store.execute("UPDATE job SET awaiting = awaiting - 1 WHERE partner = ? AND reference = ?", *key[:2])
    return job.awaiting == 1


def labels(world: World, job: Job) -> list[Label]:
    """The labels stuck on a job's packages, in package order."""
    rows = world.store.all(
        "SELECT body FROM job_label WHERE partner = ? AND reference = ? ORDER BY package_no",
        job.partner,
        job.reference,
    )
    return [Label.model_validate_json(row["body"]) for row in rows]


def ready_with(world: World, job: Job) -> list[Job]:
    """Of a job and those it shares parcels with, the ones all of whose parcels are complete."""
    mates = [mate for each in sorted(_together(world, job)) if (mate := find(world, job.partner, each)) is not None]
    return [each for each in mates if each.state == "packed" and _complete(world, each)]


def _complete(world: World, job: Job) -> bool:
    sharing = (find(world, job.partner, each) for each in _together(world, job))
    return not any(each is not None and each.state == "packed" and each.awaiting for each in sharing)


def _together(world: World, job: Job) -> set[str]:
    """The job and all that its labels name."""
    rows = world.store.all(
        "SELECT together FROM job_label WHERE partner = ? AND reference = ?", job.partner, job.reference
    )
    return {job.reference}.union(*(json.loads(row["together"]) for row in rows))


def gone_before(world: World, job: Job, label: Label) -> bool:
    """Whether the label's parcel has left already, with another job that shares it."""
    others = sorted(_together(world, job) - {job.reference})
    shipped = (each for name in others if (each := find(world, job.partner, name)) and each.state == "shipped")
    return any(label.label_id == own.label_id for each in shipped for own in labels(world, each))


def message_id(kind: str, partner: str, reference: str) -> str:
    """The one id of a partner's message of this kind about this reference."""
    return f"{kind}:{digest(kind, partner, reference)[:32]}"


def _insert(world: World, job: Job) -> None:
    world.store.insert("INSERT INTO job VALUES (?, ?, ?, ?, ?, ?, ?)", *job)


def _keep(world: World, job: Job, kind: str, body: str) -> None:
    world.store.insert("INSERT INTO job_content VALUES (?, ?, ?, ?)", job.partner, job.reference, kind, body)


def _kept(world: World, job: Job, kind: str) -> str:
    row = world.store.one(
        "SELECT body FROM job_content WHERE partner = ? AND reference = ? AND kind = ?", *job[:2], kind
    )
    assert row is not None, f"a job {job.state} has no {kind}"
    body: str = row["body"]
    return body
