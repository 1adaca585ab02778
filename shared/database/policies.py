"""Policy versions: kept once, never changed, one of them active; and who made it so.

Running orders keep the version they began with. New ones begin with the active version, which clients and
workers read again after a second.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import network
from shared.domain.base import Instant, Model
from shared.domain.network import Place
from shared.domain.policies import PolicyVersion, content_hash, named
from shared.domain.policy import ProcessPolicy
from shared.domain.sourcing.models import Policy
from shared.domain.sourcing.policy_check import check_policy
from shared.domain.sourcing.presets import PRESETS
from shared.errors import Conflict, Fault, InvalidInput, NotFound

_SELECT = """
    SELECT version, sourcing, process, created_at, active,
           (SELECT count(*) FROM orders o WHERE o.policy_version = p.version AND o.closed_at IS NULL) AS orders
    FROM policy_version p
"""
_LIST = text(f"{_SELECT} ORDER BY created_at DESC, version LIMIT :limit")
#: By its version, or the newest of its name.
_FIND = text(f"""{_SELECT}
    WHERE version = :reference OR starts_with(version, :reference || '/')
    ORDER BY version = :reference DESC, created_at DESC LIMIT 1
""")
_ACTIVE = text(f"{_SELECT} WHERE active")
_KEEP = text("""
    INSERT INTO policy_version (version, sourcing, process, active)
    VALUES (:version, CAST(:sourcing AS jsonb), CAST(:process AS jsonb), NOT EXISTS (SELECT FROM policy_version))
    ON CONFLICT DO NOTHING
""")
#: Orders' foreign keys go on; only other activations wait.
_ONE_AT_A_TIME = text("LOCK TABLE policy_version IN SHARE ROW EXCLUSIVE MODE")
_RETIRE = text("UPDATE policy_version SET active = false WHERE active")
_MAKE_ACTIVE = text("UPDATE policy_version SET active = true WHERE version = :version")
_NOTE = text("""
    INSERT INTO policy_activation (version, replaced, rollback, actor) VALUES (:version, :replaced, :rollback, :actor)
""")
_BEFORE = text("""
    SELECT replaced FROM policy_activation WHERE version = :version AND NOT rollback ORDER BY activation_id DESC LIMIT 1
""")
_ACTIVATIONS = text("""
    SELECT at, version, replaced, rollback, actor FROM policy_activation ORDER BY activation_id DESC LIMIT :limit
""")
_DESTINATIONS = text("""
    SELECT DISTINCT ON (place ->> 'country', place ->> 'postal_code') place
    FROM (SELECT place FROM orders ORDER BY received_at DESC LIMIT 2000) latest
""")
#: Those with rules of their own and those that sold anything; a channel needs no other introduction.
_CHANNELS = text("""
    WITH RECURSIVE sold AS (
        (SELECT channel FROM orders ORDER BY channel LIMIT 1)
        UNION ALL
        SELECT (SELECT o.channel FROM orders o WHERE o.channel > s.channel ORDER BY o.channel LIMIT 1)
        FROM sold s WHERE s.channel IS NOT NULL
    )
    SELECT channel FROM sold WHERE channel IS NOT NULL UNION SELECT channel FROM channel
""")


class Activation(Model):
    """A version became the active one."""

    at: Instant
    version: str
    replaced: str
    rollback: bool
    actor: str


async def list_policies(connection: AsyncConnection, limit: int = 50) -> list[PolicyVersion]:
    """Versions, the newest first."""
    return [_version(row) for row in await connection.execute(_LIST, {"limit": limit})]


async def active_version(connection: AsyncConnection) -> PolicyVersion:
    """The version that new orders begin with."""
    return _version((await connection.execute(_ACTIVE)).one())


async def find_policy(connection: AsyncConnection, reference: str) -> PolicyVersion:
    """A version, the newest version of a name, or a preset.

    Raises:
        NotFound: it is none of them.
    """
    row = (await connection.execute(_FIND, {"reference": reference})).first()
    if row is not None:
        return _version(row)
    if reference in PRESETS:
        return named(reference, PRESETS[reference], ProcessPolicy())
    raise NotFound(f"there is no policy {reference}; presets are {', '.join(PRESETS)}", version=reference)


def _version(row: Any) -> PolicyVersion:
    return PolicyVersion(**row._mapping, content_hash=content_hash(row.sourcing, row.process))


async def faults_of(connection: AsyncConnection, policy: PolicyVersion) -> list[Fault]:
    """What makes the policy unfit for the network and the destinations of the latest orders."""
    nodes, rates = await network.read_nodes(connection), await network.read_rates(connection)
    places = [Place.model_validate(row.place) for row in await connection.execute(_DESTINATIONS)]
    channels = list((await connection.execute(_CHANNELS)).scalars())
    return [Fault(**finding.model_dump()) for finding in check_policy(policy, nodes, rates, places, channels)]


async def draft(connection: AsyncConnection, policy: PolicyVersion) -> PolicyVersion:
    """Keep a version that no order begins with yet; the same content under the same name is kept once.

    Raises:
        InvalidInput: it is unfit for the network.
    """
    if faults := await faults_of(connection, policy):
        raise InvalidInput(faults)
    await keep(connection, policy.sourcing, policy.process)
    return await find_policy(connection, policy.version)


async def keep(connection: AsyncConnection, sourcing: Policy, process: ProcessPolicy) -> None:
    """Keep a version unchecked; the first one there ever was becomes the active one."""
    values = {
        "version": sourcing.version,
        "sourcing": sourcing.model_dump_json(),
        "process": process.model_dump_json(),
    }
    await connection.execute(_KEEP, values)


async def begin(connection: AsyncConnection, sourcing: Policy, process: ProcessPolicy, actor: str) -> None:
    """Keep a version unchecked and have new orders begin with it."""
    await keep(connection, sourcing, process)
    await switch(connection, sourcing.version, actor)


async def activate(connection: AsyncConnection, reference: str, actor: str) -> PolicyVersion:
    """Orders placed from now on begin with this version. Repeating it changes nothing.

    Raises:
        NotFound: there is no such version.
        Conflict: it is a preset of which no version is kept.
        InvalidInput: it is unfit for the network as it is now.
    """
    policy = await find_policy(connection, reference)
    if policy.created_at is None:
        raise Conflict(f"{reference} is not kept: draft it first", version=reference)
    if faults := await faults_of(connection, policy):
        raise InvalidInput(faults)
    return await switch(connection, policy.version, actor)


async def rollback(connection: AsyncConnection, actor: str) -> PolicyVersion:
    """Go back to the version that the active one replaced; again, to the one before it.

    Raises:
        Conflict: the active version replaced none.
    """
    await connection.execute(_ONE_AT_A_TIME)
    active = await active_version(connection)
    before = (await connection.execute(_BEFORE, {"version": active.version})).scalar_one_or_none()
    if before is None:
        raise Conflict(f"{active.version} was the first: there is none to go back to", version=active.version)
    return await switch(connection, before, actor, rollback=True)


async def switch(connection: AsyncConnection, version: str, actor: str, *, rollback: bool = False) -> PolicyVersion:
    """Orders placed from now on begin with this kept version, unchecked; running ones keep theirs."""
    await connection.execute(_ONE_AT_A_TIME)
    replaced = (await active_version(connection)).version
    if replaced != version:
        await connection.execute(_RETIRE)
        await connection.execute(_MAKE_ACTIVE, {"version": version})
        values = {"version": version, "replaced": replaced, "rollback": rollback, "actor": actor}
        await connection.execute(_NOTE, values)
    return await active_version(connection)


async def activations(connection: AsyncConnection, limit: int = 10) -> list[Activation]:
    """Which version became active when, and by whom; the newest first."""
    rows = await connection.execute(_ACTIVATIONS, {"limit": limit})
    return [Activation(**row._mapping) for row in rows]
