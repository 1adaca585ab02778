"""Stages on a real Postgres: drafted from the documented file, activated, ordered under, explained, previewed."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from shared import supply_client
from shared.client import Doms
from shared.database import decisions, orders, policies, replays
from shared.database.rises import book_arrival
from shared.database.stock import Move
from shared.domain.policies import PolicyVersion
from shared.domain.sourcing.facts import LINE_FIELDS, NODE_FIELDS, ORDER_FIELDS
from shared.domain.sourcing.models import Policy
from shared.domain.sourcing.plans import Because, Plan
from shared.domain.sourcing.policy_check import read_policy
from shared.domain.sourcing.preview import preview
from shared.domain.sourcing.stages import Then, Tried
from shared.domain.supply import Inbound, InboundKind, InboundLine
from shared.errors import InvalidInput, NotFound
from tests.support.facts import Facts
from tests.support.supply_desk import Desk
from workers.cli import policy as policy_cli
from workers.cli.explain import drawn

DOCUMENTED = Path(__file__).parents[2] / "docs" / "policies.md"


def policy_of(**sourcing: Any) -> PolicyVersion:
    found = read_policy({"name": "staged", "sourcing": sourcing})
    assert isinstance(found, PolicyVersion), found
    return found


async def begun(shop: Facts, policy: PolicyVersion) -> PolicyVersion:
    async with shop.database.transaction() as connection:
        kept = await policies.draft(connection, policy)
        return await policies.activate(connection, kept.version, "agent-1")


async def sourced(shop: Facts, policy: PolicyVersion, *lines: tuple[str, int], **changes: Any) -> Plan:
    order_id = await shop.keep(*lines, **changes)
    await shop.run("UPDATE orders SET policy_version = :v WHERE order_id = :o", v=policy.version, o=order_id)
    await shop.source(order_id)
    async with shop.database.reading() as connection:
        return (await decisions.explain(connection, order_id)).decisions[-1].plan


WAREHOUSES = {
    "name": "warehouses",
    "nodes": "node.type == 'warehouse'",
    "on_part": {"then": "next_stage", "take": False},
}


async def test_the_documented_file_and_the_one_in_the_help_are_sound(shop: Facts) -> None:
    text = DOCUMENTED.read_text(encoding="utf-8")
    example = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert example is not None
    brief = re.search(r"\{\"name\".*\}\n", policy_cli.__doc__ or "", re.DOTALL)
    assert brief is not None
    async with shop.database.reading() as connection:
        for file in (example[1], brief[0]):
            read = read_policy(json.loads(file))
            assert isinstance(read, PolicyVersion), read
            assert await policies.faults_of(connection, read) == []
    for variable, fields in (("order", ORDER_FIELDS), ("node", NODE_FIELDS)):
        assert all(f"`{variable}.{field}`" in text for field in fields)
    assert all(f"`{field}`" in text for field in LINE_FIELDS)


async def test_an_order_is_sourced_by_its_stages_and_says_so(shop: Facts) -> None:
    sku = shop.sku()
    await shop.stock(sku, wh_columbus=1, store_chicago=4)
    policy = await begun(shop, policy_of(stages=[
        {"name": "vip", "when": "'vip' in order.tags", "hard": {"max_shipments": 1}},
        WAREHOUSES,
        {"name": "anywhere", "hard": {"floor_units": 1}, "on_part": {"then": "cancel_after", "after": "P2D"}},
    ]))  # fmt: skip
    plan = await sourced(shop, policy, (sku, 5))
    assert [(one.name, one.outcome) for one in plan.stages] == [
        ("vip", Tried.PASSED_OVER),
        ("warehouses", Tried.LEFT_PART),
        ("anywhere", Tried.TOOK_PART),
    ]
    assert {one.node_id: one.lines[0].quantity for one in plan.shipments} == {"store-chicago": 3}
    assert plan.rest is not None
    assert (plan.rest.then, plan.rest.stage) == (Then.CANCEL_AFTER, "anywhere")
    assert [(short.quantity, short.because) for short in plan.shortages] == [(2, Because.RULED_OUT)]
    vip = await sourced(shop, policy, (sku, 1), tags=("vip",))
    assert [(one.name, one.units) for one in vip.stages] == [("vip", 1)]


async def test_explain_draws_the_stages(shop: Facts) -> None:
    sku = shop.sku()
    await shop.stock(sku, store_chicago=1)
    policy = await begun(shop, policy_of(stages=[WAREHOUSES, {"name": "last", "on_part": {"then": "queue"}}]))
    order_id = await shop.keep((sku, 2))
    await shop.run("UPDATE orders SET policy_version = :v WHERE order_id = :o", v=policy.version, o=order_id)
    await shop.source(order_id)
    async with shop.database.reading() as connection:
        explanation = await decisions.explain(connection, order_id)
    console = Console(file=io.StringIO(), width=250)
    console.print(drawn(explanation))
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "decided by last; the rest by last: queue" in told
    assert "2 x not_in_stage" in told
    assert "not_in_stage" in told


async def test_what_is_unfit_is_not_kept(shop: Facts) -> None:
    await shop.keep((shop.sku(), 1))
    wrong = policy_of(stages=[
        {"name": "a", "when": "order.channel == 'webshpo'", "on_none": {"then": "queue"}},
        {"name": "b", "nodes": "node.node_id == 'nowhere'", "on_none": {"then": "queue"}, "on_part": {"then": "queue"}},
    ])  # fmt: skip
    async with shop.database.transaction() as connection:
        with pytest.raises(InvalidInput) as refused:
            await policies.draft(connection, wrong)
    assert {(fault.pointer, fault.code) for fault in refused.value.faults} == {
        ("/sourcing/stages/0/when", "unknown_channel"),
        ("/sourcing/stages/1/nodes", "unknown_node"),
        ("/sourcing/stages/1/nodes", "no_node_left"),
    }


async def test_a_preview_shows_what_would_be_different_and_reserves_nothing(shop: Facts) -> None:
    near, far = shop.sku(0), shop.sku(1)
    await shop.stock(near, store_chicago=2)
    await shop.stock(far, wh_columbus=2)
    same, other = await shop.keep((far, 1)), await shop.keep((near, 1))
    tried = policy_of(stages=[WAREHOUSES | {"on_none": {"then": "queue"}}])
    now = datetime.now(UTC)
    async with shop.database.transaction() as connection:
        replay = await replays.latest_orders(connection, 10, now)
        only = await replays.latest_orders(connection, 10, now, other)
        with pytest.raises(NotFound):
            await replays.latest_orders(connection, 10, now, "webshop/none")
    found = {each.order_id: each for each in preview(replay, Policy(), tried.sourcing)}
    assert {order_id: each.changed for order_id, each in found.items()} == {same: False, other: True}
    assert found[other].one.ships == {"store-chicago": 1}
    assert found[other].other.rest is not None
    assert [each.order.order_id for each in only.orders] == [other]
    assert (await shop.tell(other)).units.unallocated == 1


async def test_batches_say_who_waits_first(shop: Facts) -> None:
    """Of stock and of supply, whatever order they came in; what changes after they were planned is looked up."""
    sku = shop.sku()
    await shop.stock(sku)
    policy = await begun(shop, policy_of(batches=[
        {"name": "vip", "when": "'vip' in order.tags", "sequence": [{"by": "promised_at"}]},
        {"name": "trade", "when": "order.priority < 5", "sequence": [{"by": "units", "descending": True}]},
    ]))  # fmt: skip
    small, last, large = [await shop.keep((sku, n), priority=p) for n, p in ((1, 3), (1, 5), (3, 3))]
    unpromised, vip = [await shop.keep((sku, 1), priority=5, tags=("vip",)) for _ in range(2)]
    await shop.run("UPDATE orders SET policy_version = :v", v=policy.version)
    waiting = [vip, unpromised, large, small, last]
    for order_id in reversed(waiting):
        await shop.source(order_id)
    await shop.run("UPDATE orders SET promised_at = now() + interval '1 day' WHERE order_id = :o", o=vip)
    async with shop.database.reading() as connection:
        assert await orders.orders_waiting_for(connection, [sku]) == waiting
    inbound = Inbound(
        inbound_id="PO-1",
        kind=InboundKind.PURCHASE_ORDER,
        node_id="wh-columbus",
        expected_at=datetime.now(UTC) + timedelta(days=3),
        lines=(InboundLine(sku=sku, quantity=4),),
    )
    await supply_client.create_inbound(cast(Doms, Desk(shop.database)), inbound, actor="buyer")
    bound = await shop.rows("SELECT order_id, quantity FROM supply_binding")
    assert {row.order_id: row.quantity for row in bound} == {vip: 1, unpromised: 1, large: 2}
    move = Move(node_id="wh-columbus", sku=sku, cause="receive", on_hand=6, reference="asn-1")
    await book_arrival(shop.database, [move], as_of=datetime.now(UTC))
    kept = await shop.rows("SELECT o.order_id, h.open FROM cart_hold_line h JOIN orders o USING (cart_hold_id)")
    assert {row.order_id: row.open for row in kept} == {vip: 1, unpromised: 1, large: 3, small: 1}
