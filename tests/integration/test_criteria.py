"""A package's criterion on a real Postgres: drafted with its policy, ordered under, explained."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from shared.database import decisions, policies
from shared.domain.policies import PolicyVersion
from shared.domain.sourcing.criteria import CriterionFailed
from shared.domain.sourcing.policy_check import read_policy
from shared.errors import InvalidInput
from tests.support.facts import Facts
from tests.support.plugins import installed
from workers.cli.explain import drawn


@pytest.fixture(autouse=True)
def package() -> Iterator[None]:
    with installed():
        yield


async def kept(shop: Facts, **criteria: int) -> PolicyVersion:
    policy = read_policy({"name": "green", "sourcing": {"weights": {"criteria": criteria}}})
    assert isinstance(policy, PolicyVersion)
    async with shop.database.transaction() as connection:
        return await policies.draft(connection, policy)


async def ordered(shop: Facts, policy: PolicyVersion, **changes: Any) -> str:
    order_id = await shop.keep((shop.sku(), 1), **changes)
    await shop.run("UPDATE orders SET policy_version = :v WHERE order_id = :o", v=policy.version, o=order_id)
    return order_id


async def test_an_order_is_sourced_by_a_criterion_and_explained_by_it(shop: Facts) -> None:
    await shop.stock(shop.sku(), wh_columbus=5, **{"3pl_reno": 5})
    order_id = await ordered(shop, await kept(shop, carbon=10_000))
    await shop.source(order_id)
    async with shop.database.reading() as connection:
        explained = await decisions.explain(connection, order_id)
    (decision,) = explained.decisions
    assert decision.plan.criteria == {"carbon": "doms-example 1.2.0"}
    added = {each.node_id: each.alone.criteria["carbon"] for each in decision.plan.candidates if each.alone}
    (shipment,) = decision.plan.shipments
    assert shipment.cost.criteria == {"carbon": min(added.values())}
    assert len(set(added.values())) > 1
    console = Console(file=io.StringIO(), width=300)
    console.print(drawn(explained))
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "carbon" in told
    assert "doms-example 1.2.0" in told


async def test_a_policy_that_names_what_is_not_installed_is_not_kept(shop: Facts) -> None:
    with pytest.raises(InvalidInput) as refused:
        await kept(shop, unheard=100)
    (fault,) = refused.value.faults
    assert (fault.pointer, fault.code) == ("/sourcing/weights/criteria/unheard", "unknown_criterion")
    assert "there are: broken, carbon" in fault.message


async def test_an_order_waits_for_a_criterion_that_fails_and_is_sourced_without_it_never(shop: Facts) -> None:
    await shop.stock(shop.sku(), wh_columbus=5)
    order_id = await ordered(shop, await kept(shop, broken=100))
    with pytest.raises(CriterionFailed, match="criterion broken of doms-example"):
        await shop.source(order_id)
    assert await shop.rows("SELECT FROM fulfillment_order WHERE order_id = :o", o=order_id) == []
