"""Policy versions on a real Postgres: kept once, never changed, switched and switched back."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DBAPIError

from shared.database import policies
from shared.domain.policies import PolicyVersion, named
from shared.domain.policy import ProcessPolicy
from shared.domain.sourcing.models import Policy
from shared.domain.sourcing.presets import PRESETS
from shared.errors import Conflict, InvalidInput, NotFound
from tests.support.facts import Facts


async def kept(shop: Facts, policy: PolicyVersion) -> PolicyVersion:
    async with shop.database.transaction() as connection:
        return await policies.draft(connection, policy)


async def activated(shop: Facts, reference: str) -> PolicyVersion:
    async with shop.database.transaction() as connection:
        return await policies.activate(connection, reference, "agent-1")


async def rolled_back(shop: Facts) -> str:
    async with shop.database.transaction() as connection:
        return (await policies.rollback(connection, "agent-1")).version


def preset(name: str) -> PolicyVersion:
    return named(name, PRESETS[name], ProcessPolicy())


async def test_a_draft_is_kept_once_and_waits(shop: Facts) -> None:
    one, again = await kept(shop, preset("cheapest")), await kept(shop, preset("cheapest"))
    assert one == again
    assert (one.active, one.content_hash) == (False, preset("cheapest").content_hash)
    async with shop.database.reading() as connection:
        listed = await policies.list_policies(connection)
        assert await policies.find_policy(connection, "cheapest") == one
        with pytest.raises(NotFound):
            await policies.find_policy(connection, "luckiest")
    assert {each.version: each.active for each in listed} == {one.version: False, Policy().version: True}


async def test_activations_go_back_the_way_they_came(shop: Facts) -> None:
    first, fast = await kept(shop, preset("cheapest")), await kept(shop, preset("fastest"))
    order_id = await shop.keep((shop.sku(), 1))
    for version in (first, fast, fast):
        assert (await activated(shop, version.version)).version == version.version
    assert await rolled_back(shop) == first.version
    assert await rolled_back(shop) == Policy().version
    with pytest.raises(Conflict):
        await rolled_back(shop)
    async with shop.database.reading() as connection:
        noted = await policies.activations(connection)
        active = await policies.active_version(connection)
    assert [each.rollback for each in noted] == [True, True, False, False]
    assert (active.version, active.orders) == (Policy().version, 1)
    assert (await shop.tell(order_id)).policy_version == Policy().version


async def test_what_is_unfit_is_neither_kept_nor_activated(shop: Facts) -> None:
    wrong = named("wrong", Policy(exclude_nodes=("nowhere",), max_distance_km=1), ProcessPolicy())
    await shop.keep((shop.sku(), 1))
    with pytest.raises(InvalidInput) as refused:
        await kept(shop, wrong)
    assert {fault.code for fault in refused.value.faults} == {"unknown_node", "unreachable"}
    with pytest.raises(NotFound):
        await activated(shop, "wrong")
    with pytest.raises(Conflict):
        await activated(shop, "cheapest")


async def test_a_version_never_changes(shop: Facts) -> None:
    for change in (
        "UPDATE policy_version SET sourcing = '{}'",
        "UPDATE policy_version SET version = 'x'",
        "DELETE FROM policy_version",
    ):
        with pytest.raises(DBAPIError, match="never changes"):
            await shop.run(change)
