"""What the sandbox's nodes do in their own time: accept or reject, pack, ship, receive returns."""

from __future__ import annotations

from shared.domain.fulfillment import PICKUP
from shared.gateways.fulfillment.mapping import ReturnNotice
from shared.gateways.partner_messages import (
    FulfillmentAccepted,
    FulfillmentPacked,
    FulfillmentRejected,
    FulfillmentShipped,
    Grade,
    GradedLine,
    Package,
    ReturnReceived,
)
from shared.gateways.protocol import Label
from workers.sandbox import carriers, jobs, shelves
from workers.sandbox.chance import draw, grade_for, shorten
from workers.sandbox.config import Behaviour
from workers.sandbox.jobs import Job, message_id
from workers.sandbox.packing import pack, pack_as_suggested
from workers.sandbox.store import Action
from workers.sandbox.world import Call, World

#: Who carries what a third party or a vendor ships, when it was not told whom to use.
DEFAULT_CARRIER = "parcelpost"


def accept(world: World, action: Action) -> None:
    job = _in_state(world, action, "requested")
    if job is None:
        return
    if job.behaviour == Behaviour.REJECT:
        _reject(world, job)
        return
    jobs.move(world, job, "accepted")
    message = FulfillmentAccepted(
        message_id=message_id("accepted", job.partner, job.reference), reference=job.reference, at=world.now()
    )
    world.tell(job.partner, message.message_id, message)
    world.later(world.config.pace.pack_after, "pack", job.partner, job.reference)


def pack_job(world: World, action: Action) -> None:
    """Pack what there is. Our own nodes then wait for our labels; the others ship on their own."""
    job = _in_state(world, action, "accepted")
    if job is None:
        return
    packages = _packages(world, job)
    ours = job.kind == "task"
    jobs.packed(world, job, packages, awaiting=len(packages) if ours else 0)
    world.effect(_own(job), f"{job.kind}.packed", job.reference)
    if ours:
        message = FulfillmentPacked(
            message_id=message_id("packed", job.partner, job.reference),
            reference=job.reference,
            at=world.now(),
            packages=packages,
        )
        world.tell(job.partner, message.message_id, message)
    fetched = jobs.work_of(world, job).carrier == PICKUP
    if fetched:
        world.later(world.config.pace.fetch_after, "ship", job.partner, job.reference)
    elif not (ours and packages):
        world.later(world.config.pace.ship_after, "ship", job.partner, job.reference)


def ship(world: World, action: Action) -> None:
    """Send the one ship confirm and hand every parcel to its carrier, or to the customer who has come for it."""
    job = _in_state(world, action, "packed")
    if job is None:
        return
    packages = jobs.packages_of(world, job)
    if jobs.work_of(world, job).carrier == PICKUP:
        labels: list[Label] = []
    else:
        labels = jobs.labels(world, job) if job.kind == "task" else _own_labels(world, job, packages)
    jobs.move(world, job, "shipped")
    shelves.take_out(world, jobs.work_of(world, job).node, packages)
    world.effect(_own(job), f"{job.kind}.shipped", job.reference)
    message = FulfillmentShipped(
        message_id=message_id("shipped", job.partner, job.reference),
        reference=job.reference,
        at=world.now(),
        packages=tuple(map(_labelled, packages, labels)) if labels else packages,
    )
    world.tell(job.partner, message.message_id, message)
    for package, label in zip(packages, labels, strict=False):
        if not jobs.gone_before(world, job, label):
            carriers.hand_over(world, _own(job, f"{job.reference}/p{package.package_no}"), label)


def receive(world: World, action: Action) -> None:
    """A return arrives, mostly whole, and is graded line by line."""
    notice = ReturnNotice.model_validate_json(action.payload)
    seed, rates = world.config.seed, world.config.rates
    missing = 1 if draw(seed, "return_short", notice.reference) < rates.return_short else 0
    lines = []
    for line in notice.lines:
        quantity = line.quantity - missing
        missing = 0
        if quantity:
            grade = Grade(grade_for(seed, rates, f"{notice.reference}/{line.line_no}"))
            lines.append(GradedLine(line_no=line.line_no, sku=line.sku, quantity=quantity, grade=grade))
    shelves.take_back(world, notice.node, lines)
    world.effect(Call(partner=action.partner, reference=""), "return.received", notice.reference)
    message = ReturnReceived(
        message_id=message_id("returned", action.partner, notice.reference),
        reference=notice.reference,
        at=world.now(),
        lines=tuple(lines),
    )
    world.tell(action.partner, message.message_id, message)


def _reject(world: World, job: Job) -> None:
    jobs.move(world, job, "rejected")
    world.effect(_own(job), f"{job.kind}.rejected", job.reference)
    message = FulfillmentRejected(
        message_id=message_id("rejected", job.partner, job.reference),
        reference=job.reference,
        at=world.now(),
        reason="out_of_stock",
    )
    world.tell(job.partner, message.message_id, message)


def _in_state(world: World, action: Action, state: str) -> Job | None:
    """The action's job, if it still is where the action finds it."""
    job = jobs.find(world, action.partner, action.reference)
    return job if job is not None and job.state == state else None


def _own(job: Job, reference: str = "") -> Call:
    """Something a partner does of itself."""
    return Call(partner=job.partner, reference=reference)


def _packages(world: World, job: Job) -> tuple[Package, ...]:
    work = jobs.work_of(world, job)
    picks = list(work.picks)
    if job.behaviour == Behaviour.SHORT:
        picks = shorten(world.config.seed, job.reference, picks)
    if work.packages and picks == list(work.picks) and not work.consolidation:
        return tuple(pack_as_suggested(picks, work.packages))
    if not work.consolidation:
        return tuple(pack(picks, max_g=world.config.max_package_g))
    begun = jobs.last_parcel(world, job.partner, work.consolidation)
    packages = tuple(pack(picks, max_g=world.config.max_package_g, begun=begun))
    jobs.fill_parcels(world, job.partner, work.consolidation, packages)
    return packages


def _own_labels(world: World, job: Job, packages: tuple[Package, ...]) -> list[Label]:
    work = jobs.work_of(world, job)
    carrier = work.carrier or DEFAULT_CARRIER
    return [
        carriers.issue(
            world,
            Call(partner=carrier, reference=f"{job.partner}/{job.reference}/p{package.package_no}"),
            work.service,
            package.weight_g,
            effect="label.bought_by_partner",
        )
        for package in packages
    ]


def _labelled(package: Package, label: Label) -> Package:
    return package.model_copy(
        update={"carrier": label.carrier, "service": label.service, "tracking_no": label.tracking_no}
    )
