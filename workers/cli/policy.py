"""Show, check, try, keep and switch the policies that orders are sourced by.

A policy file is a JSON object: a name, a preset to begin with, and what is different. docs/policies.md explains every
setting, the variables of conditions, and a whole file. A small one:

    {"name": "peak", "preset": "balanced",
     "sourcing": {
       "max_shipments": 3,
       "stages": [
         {"name": "stores-first", "when": "order.region == 'NY' && order.value_minor < 20000",
          "nodes": "node.type == 'store' && node.distance_km < 80.0",
          "hard": {"max_shipments": 1, "floor_units": 2},
          "on_part": {"then": "next_stage", "take": false}},
         {"name": "anywhere", "soft": [{"max_distance_km": 1500, "price_minor": 400}],
          "on_none": {"then": "queue"}, "on_part": {"then": "cancel_after", "after": "P3D"}}],
       "batches": [{"name": "vip", "when": "'vip' in order.tags", "sequence": [{"by": "promised_at"}]}]},
     "process": {"answer_within": "PT2H"}}
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from workers.cli.output import Answer, table, when
from workers.cli.staff import Actor
from workers.connect import doms_client

if TYPE_CHECKING:
    from shared.domain.policies import Difference, PolicyVersion
    from shared.domain.sourcing.preview import Gist, Preview

app = App(name="policy", help=__doc__)


@app.command(name="list")
async def list_(*, limit: int = 20) -> Answer:
    """List the versions, newest first, and which of them new orders begin with.

    ```
    doms policy list
    ```
    """
    from shared.database.policies import activations, list_policies

    async with doms_client() as doms, doms.database.reading() as connection:
        versions = await list_policies(connection, limit)
        switches = await activations(connection)
    columns = ("", "version", "content", "kept", "open orders#")
    rows = [("active" if v.active else "", v.version, v.content_hash[:12], when(v.created_at), v.orders)
            for v in versions]  # fmt: skip
    switched = [(when(s.at), s.version, s.replaced, "rollback" if s.rollback else "activate", s.actor)
                for s in switches]  # fmt: skip

    def show() -> Any:
        from rich.console import Group

        head = table(f"{len(versions)} version(s)", columns, rows)
        return Group(head, table("latest switches", ("at", "to", "from", "how", "by"), switched))

    return Answer({"versions": versions, "activations": switches}, show=show)


@app.command
async def show(version: str = "") -> Answer:
    """Show a version, the newest version of a name, or a preset; the active one when none is named.

    ```
    doms policy show
    doms policy show cheapest
    ```

    Args:
        version: A version such as peak/3f9a21c4, a name, or cheapest, fastest, fewest-parcels, balanced.
    """
    from shared.database.policies import active_version, find_policy

    async with doms_client() as doms, doms.database.reading() as connection:
        policy = await (find_policy(connection, version) if version else active_version(connection))
    return Answer(policy, show=lambda: _shown(policy))


@app.command
async def validate(file: str) -> Answer:
    """Check a policy file, or a preset, against the network and the latest orders' destinations: every fault at once.

    ```
    doms policy validate peak.json
    ```

    Args:
        file: A JSON file: {"name": "peak", "preset": "cheapest", "sourcing": {...}, "process": {...}}.
    """
    from shared.database.policies import faults_of
    from shared.errors import InvalidInput

    policy = await _read(file)
    async with doms_client() as doms, doms.database.reading() as connection:
        faults = await faults_of(connection, policy)
    if faults:
        raise InvalidInput(faults)
    return Answer(policy, text=f"{policy.version} is sound; nothing was kept")


@app.command
async def draft(file: str) -> Answer:
    """Keep a policy file, or a preset, as a version. No order begins with it until it is activated.

    The same content under the same name is the same version.

    ```
    doms policy draft peak.json
    doms policy draft fewest-parcels
    ```

    Args:
        file: A JSON file: {"name": "peak", "preset": "cheapest", "sourcing": {...}, "process": {...}}.
    """
    from shared.database.policies import draft as keep

    policy = await _read(file)
    async with doms_client() as doms, doms.database.transaction() as connection:
        kept = await keep(connection, policy)
    return Answer(kept, text=f"{kept.version} is kept; `doms policy activate {kept.version}` makes new orders use it")


@app.command
async def preview(file: str, *, last: int = 50, order: str = "", orders: str = "") -> Answer:
    """Plan orders by a policy that is not active, beside the active one, and show what would be different.

    Each order is planned alone and whole, as if it came now, on what is free now. Nothing is kept or reserved.

    ```
    doms policy preview peak.json
    doms policy preview peak.json --order webshop/W7-000001
    doms policy preview peak/3f9a21c4 --orders cart.json
    ```

    Args:
        file: A policy file, a preset, a kept version, or the newest version of a name.
        last: So many of the latest orders.
        order: Only this order.
        orders: A file of order documents instead, such as one made of a cart.
    """
    from datetime import UTC, datetime

    from shared.database import replays
    from shared.database.policies import active_version, faults_of, find_policy
    from shared.database.snapshots import AGREEING
    from shared.domain.sourcing.preview import preview as plans_of
    from shared.errors import InvalidInput
    from shared.intake import read_orders

    body = await asyncio.to_thread(Path(orders).read_bytes) if orders else b""
    read = await _read(file) if await asyncio.to_thread(Path(file).is_file) else None
    now = datetime.now(UTC)
    async with doms_client() as doms, doms.database.transaction() as connection:
        await connection.execute(AGREEING)
        tried, active = read or await find_policy(connection, file), await active_version(connection)
        if faults := await faults_of(connection, tried):
            raise InvalidInput(faults)
        if body:
            replay = await replays.documents(connection, read_orders(body, source="auto"), now)
        else:
            replay = await replays.latest_orders(connection, last, now, order)
    found = list(plans_of(replay, active.sourcing, tried.sourcing))
    return Answer(found, show=lambda: _previewed(found, active.version, tried.version))


@app.command
async def activate(version: str, *, actor: Actor = "staff") -> Answer:
    """Let new orders begin with a version, within a second; running orders keep theirs.

    ```
    doms policy activate peak/3f9a21c4
    ```

    Args:
        version: A version, or the newest version of a name.
    """
    from shared.database.policies import activate as switch

    async with doms_client() as doms, doms.database.transaction() as connection:
        active = await switch(connection, version, actor)
    return Answer(active, text=f"new orders begin with {active.version}")


@app.command
async def rollback(*, actor: Actor = "staff") -> Answer:
    """Go back to the version that the active one replaced; again, to the one before it.

    ```
    doms policy rollback
    ```
    """
    from shared.database.policies import rollback as switch

    async with doms_client() as doms, doms.database.transaction() as connection:
        active = await switch(connection, actor)
    return Answer(active, text=f"new orders begin with {active.version} again")


@app.command
async def diff(one: str, other: str) -> Answer:
    """Tell in what two policies differ.

    ```
    doms policy diff balanced cheapest
    ```

    Args:
        one: A version, a name or a preset.
        other: The one to compare it with.
    """
    from shared.database.policies import find_policy
    from shared.domain.policies import differences

    async with doms_client() as doms, doms.database.reading() as connection:
        left, right = await find_policy(connection, one), await find_policy(connection, other)
    found = differences(left, right)
    return Answer(found, show=lambda: _differing(found, left, right))


async def _read(file: str) -> PolicyVersion:
    """The policy in a file, or a preset when the file is called like one."""
    from shared.domain.policies import named
    from shared.domain.policy import ProcessPolicy
    from shared.domain.sourcing.policy_check import read_policy
    from shared.domain.sourcing.presets import PRESETS
    from shared.errors import Fault, InvalidInput
    from shared.intake.strict_json import parse

    if file in PRESETS:
        return named(file, PRESETS[file], ProcessPolicy())
    parsed = parse(await asyncio.to_thread(Path(file).read_bytes))
    if [pointer for pointer, _ in parsed.documents] != [""]:
        message = "a file holds one policy, an object"
        raise InvalidInput([*parsed.faults, Fault(pointer="", code="not_an_object", message=message)])
    policy = read_policy(parsed.documents[0][1])
    if isinstance(policy, list) or parsed.faults:
        found = policy if isinstance(policy, list) else []
        raise InvalidInput([*parsed.faults, *(Fault(**finding.model_dump()) for finding in found)])
    return policy


def _shown(policy: PolicyVersion) -> Any:
    content = policy.model_dump(mode="json", include={"sourcing", "process"})
    rows = [(part, name, value) for part, values in content.items() for name, value in values.items()]
    state = "active" if policy.active else "kept" if policy.created_at else "a preset, not kept"
    title = f"{policy.version} ({state}), content {policy.content_hash[:12]}, {policy.orders} open order(s)"
    return table(title, ("part", "setting", "value"), rows)


def _previewed(found: list[Preview], active: str, tried: str) -> Any:
    changed = [each for each in found if each.changed]
    rows = [(each.order_id, policy, *_gist(gist)) for each in changed
            for policy, gist in ((active, each.one), (tried, each.other))]  # fmt: skip
    columns = ("order", "policy", "ships", "short#", "paid#", "delivered", "stages", "rest")
    return table(f"{len(changed)} of {len(found)} order(s) would be planned differently by {tried}", columns, rows)


def _gist(gist: Gist) -> tuple[object, ...]:
    ships = ", ".join(f"{units} from {node_id}" for node_id, units in gist.ships.items())
    stages = ", ".join(f"{one.name}: {one.outcome.replace('_', ' ')}" for one in gist.stages)
    rest = gist.rest.then.replace("_", " ") if gist.rest is not None else ""
    return ships, gist.short_units, gist.paid_minor, when(gist.promised_at), stages, rest


def _differing(found: tuple[Difference, ...], one: PolicyVersion, other: PolicyVersion) -> Any:
    rows = [(each.pointer, each.one, each.other) for each in found]
    return table(f"{len(found)} difference(s)", ("setting", one.version, other.version), rows)
