"""What holds of every wave."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.calendars import days_late
from shared.domain.orders import ServiceLevel
from shared.domain.quotes import LaneQuote
from shared.domain.sourcing.models import DayLoad, NodeLoad, Policy, Snapshot, SourcingOrder
from shared.domain.sourcing.plans import PlannedShipment
from shared.domain.waves.generation import plan_wave
from shared.domain.waves.limits import DayLimit, Limit, Limits
from shared.domain.waves.models import Wave, WaveOrder, WavePlan, WaveRules
from tests.support.sourcing import AS_OF, flat_rate, line, node, order, snapshot
from tests.support.waves import order_by_order, wave

NO_CHURN = WaveRules(change_minor=0)


def planned(whole: Wave, found: WavePlan) -> dict[str, tuple[PlannedShipment, ...]]:
    """What every order ships after the wave."""
    moved = {each.order_id: each.shipments for each in found.reassignments}
    return {each.order_id: moved.get(each.order_id, each.standing) for each in whole.orders}


def units_by_line(shipments: tuple[PlannedShipment, ...]) -> Counter[int]:
    units: Counter[int] = Counter()
    for shipment in shipments:
        for one in shipment.lines:
            units[one.line_no] += one.quantity
    return units


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    orders=st.integers(1, 14),
    tightness=st.sampled_from([0.3, 0.7, 1.0, 1.6]),
    busy=st.sampled_from([None, 0.5, 1.5]),
    recipients=st.sampled_from([0, 3]),
    change=st.sampled_from([0, 80]),
)
def test_a_wave_keeps_every_limit_and_every_promise(
    seed: int, orders: int, tightness: float, busy: float | None, recipients: int, change: int
) -> None:
    rules = WaveRules(change_minor=change)
    whole = wave(
        seed, orders=orders, nodes=5, skus=4, tightness=tightness, busy=busy, rules=rules, recipients=recipients
    )
    found = plan_wave(whole)
    shipped = planned(whole, found)
    limits = Limits(whole)
    taken: Counter[Limit] = Counter()
    for each in whole.orders:
        taken.update(limits.uses(shipped[each.order_id], each.order.service))
    assert all(units <= limits.most.get(limit, 0) for limit, units in taken.items())
    assert found.bound_minor <= found.after_minor <= found.before_minor
    for each in whole.orders:
        before, after = units_by_line(each.standing), units_by_line(shipped[each.order_id])
        wanted = {one.line_no: one.quantity for one in each.order.lines}
        assert all(before[line_no] <= after[line_no] <= wanted[line_no] for line_no in wanted)
        if each.promised_at is not None:
            zone = each.order.ship_to.time_zone
            assert not any(days_late(one.deliver_by, each.promised_at, zone) for one in shipped[each.order_id])


def test_a_wave_goes_by_the_quotes_of_each_orders_area() -> None:
    """What is quoted to one order's area since it was planned moves that order, and no other."""
    world = snapshot([node("a"), node("b")], {("a", "x"): 2, ("b", "x"): 2}, rates=[flat_rate(500)])
    came = [order(line(1, "x")).model_copy(update={"order_id": f"o-{n}"}) for n in (1, 2)]
    cheap = LaneQuote(
        quote_id="q", carrier="sky", service="ground", price_minor=300, currency="USD", transit_days=2,
        expires_at=AS_OF + timedelta(hours=1), node_id="b", destination="US/100", weight_g=1_000_000,
    )  # fmt: skip
    near, far = (
        each.model_copy(update={"order": _to(each.order, postal_code), "quotes": (cheap,)})
        for each, postal_code in zip(order_by_order(came, world, Policy()), ("10001", "90001"), strict=True)
    )
    assert [one.node_id for each in (near, far) for one in each.standing] == ["a", "a"]
    found = plan_wave(Wave(orders=(near, far), snapshot=world, rules=WaveRules(change_minor=100)))
    (moved,) = found.reassignments
    (shipment,) = moved.shipments
    assert (moved.order_id, shipment.node_id, shipment.cost.freight) == ("o-1", "b", 300)
    assert (moved.saved_minor, shipment.quoted_until) == (100, cheap.expires_at)


def _to(order: SourcingOrder, postal_code: str) -> SourcingOrder:
    return order.model_copy(update={"ship_to": order.ship_to.model_copy(update={"postal_code": postal_code})})


def test_the_same_wave_is_always_planned_alike() -> None:
    whole = wave(5, orders=40, nodes=10, skus=12, tightness=0.8, busy=0.7, recipients=15)
    assert plan_wave(whole) == plan_wave(whole)


@pytest.mark.parametrize("seed", range(3))
def test_the_proven_gap_is_small(seed: int) -> None:
    whole = wave(seed, orders=120, nodes=20, skus=40, tightness=0.4, rules=NO_CHURN)
    assert plan_wave(whole).gap <= 0.01


def _contended(change_minor: int) -> Wave:
    """The first order took from "both" what only "both" can give the second in one parcel."""
    world = snapshot(
        [node("alone", city=1, order_minor=10), node("both", city=0), node("rest", city=2)],
        {("alone", "a"): 5, ("both", "a"): 1, ("both", "b"): 1, ("rest", "b"): 1},
        rates=[flat_rate(500)],
    )
    first = order(line(1, "a")).model_copy(update={"order_id": "first"})
    second = order(line(1, "a"), line(2, "b")).model_copy(update={"order_id": "second"})
    standing = order_by_order([first, second], world, Policy())
    return Wave(orders=tuple(standing), snapshot=world, rules=WaveRules(change_minor=change_minor))


def test_an_order_gives_way_where_another_saves_a_parcel() -> None:
    whole = _contended(50)
    assert len(whole.orders[1].standing) == 2
    found = plan_wave(whole)
    shipped = planned(whole, found)
    assert [one.node_id for one in shipped["first"]] == ["alone"]
    assert [one.node_id for one in shipped["second"]] == ["both"]
    # A parcel of 500 and the penalty of 300 less, and two changes of 50.
    assert found.before_minor - found.after_minor == 500 + 300 - 2 * 50
    assert len({each.group for each in found.reassignments}) == 1, "neither may move without the other"


def test_nothing_moves_that_does_not_pay_for_the_change() -> None:
    assert plan_wave(_contended(400)).reassignments == ()


def test_units_that_wait_find_a_source_when_another_order_can_go_elsewhere() -> None:
    world = snapshot(
        [node("east", city=0), node("west", city=1, order_minor=40)],
        {("east", "a"): 1, ("west", "a"): 1},
        rates=[flat_rate(500)],
    )
    easy = order(line(1, "a")).model_copy(update={"order_id": "easy"})
    bound = order(line(1, "a"), excluded=["west"]).model_copy(update={"order_id": "bound"})
    whole = Wave(orders=tuple(order_by_order([easy, bound], world, Policy())), snapshot=world)
    found = plan_wave(whole)
    assert (found.short_before, found.short_after) == (1, 0)
    assert {each.order_id for each in found.reassignments} == {"easy", "bound"}


def test_a_day_is_not_filled_beyond_what_the_node_can_ship() -> None:
    world = snapshot(
        [node("near", city=0, daily_units=3), node("far", city=1, order_minor=100)],
        {("near", "a"): 9, ("far", "a"): 9},
        rates=[flat_rate(500)],
        loads={"near": 1},
    )
    orders = tuple(
        WaveOrder(order=order(line(1, "a")).model_copy(update={"order_id": f"o{n}"}), policy=Policy(wait_day_minor=300))
        for n in range(4)
    )
    found = plan_wave(Wave(orders=orders, snapshot=world, rules=NO_CHURN))
    used = Counter(one.node_id for each in found.reassignments for one in each.shipments)
    assert used == {"near": 2, "far": 2}


def test_orders_that_need_each_others_day_move_together() -> None:
    world = snapshot(
        [node("near", city=0, daily_units=2), node("far", city=1, order_minor=100), node("rest", city=2)],
        {("near", "a"): 9, ("near", "b"): 9, ("far", "a"): 9, ("rest", "b"): 9},
        rates=[flat_rate(500)],
    )
    policy = Policy(wait_day_minor=2000)
    first = order(line(1, "a")).model_copy(update={"order_id": "first"})
    second = order(line(1, "a"), line(2, "b")).model_copy(update={"order_id": "second"})
    standing = order_by_order([first, second], world, policy)
    before = [{one.node_id for one in each.standing} for each in standing]
    found = plan_wave(Wave(orders=tuple(standing), snapshot=world))
    shipped = {each.order_id: {one.node_id for one in each.shipments} for each in found.reassignments}
    assert before[0] == {"near"}
    assert shipped == {"first": {"far"}, "second": {"near"}}
    assert len({each.group for each in found.reassignments}) == 1, "there is stock for both, but one day"


#: The first three days of a node in New York, from ``AS_OF`` on.
DAYS = (date(2026, 3, 4), date(2026, 3, 5), date(2026, 3, 6))


def test_days_have_the_room_that_is_told_of_each() -> None:
    told = (DayLoad(day=DAYS[0], limit=3, used=3), DayLoad(day=DAYS[1], limit=2))
    world = snapshot([node("near", daily_units=3)], {("near", "a"): 90})
    # A unit without a day comes before everything new.
    world = world.model_copy(update={"loads": (NodeLoad(node_id="near", units=4, dated=3, days=told),)})
    many = WaveOrder(order=order(line(1, "a", 50)), policy=Policy())
    limits = Limits(Wave(orders=(many,), snapshot=world))
    assert [each.day for each in limits.days_of("near")][:2] == [DAYS[1], DAYS[2]], "a full day is passed over"
    assert [limits.most[DayLimit("near", nth)] for nth in range(3)] == [1, 4, 7]


def test_a_service_has_days_of_its_own() -> None:
    told = (DayLoad(day=DAYS[0], service=ServiceLevel.STANDARD, limit=1),)
    world = snapshot(
        [node("near", city=0), node("far", city=1, order_minor=100)],
        {("near", "a"): 9, ("far", "a"): 9},
        rates=[flat_rate(500)],
    )
    world = world.model_copy(update={"loads": (NodeLoad(node_id="near", days=told),)})
    orders = tuple(
        WaveOrder(order=order(line(1, "a")).model_copy(update={"order_id": f"o{n}"}), policy=Policy(wait_day_minor=300))
        for n in range(3)
    )
    found = plan_wave(Wave(orders=orders, snapshot=world, rules=NO_CHURN))
    assert Counter(one.node_id for each in found.reassignments for one in each.shipments) == {"near": 1, "far": 2}


def test_prices_of_another_time_are_no_cost_of_what_stands() -> None:
    """What cannot be priced today is told as it was planned, without what only led to the plan then."""
    world = snapshot([node("n", city=0, ship_enabled=False)], {("n", "a"): 1}, rates=[flat_rate(500)])
    (standing,) = order_by_order([order(line(1, "a"))], opened(world), Policy())
    (shipment,) = standing.standing
    led = shipment.cost.model_copy(update={"scarcity": 70, "capacity": 80, "clearance": 90})
    priced = standing.model_copy(update={"standing": (shipment.model_copy(update={"cost": led}),)})
    assert plan_wave(Wave(orders=(priced,), snapshot=world)).before_minor == shipment.cost.total


def opened(world: Snapshot) -> Snapshot:
    nodes = tuple(each.model_copy(update={"ship_enabled": True}) for each in world.nodes)
    return world.model_copy(update={"nodes": nodes})


def test_orders_of_one_recipient_travel_together() -> None:
    world = snapshot(
        [node("north", city=0), node("south", city=0)],
        {("north", "a"): 1, ("south", "a"): 1, ("south", "b"): 1},
        rates=[flat_rate(500)],
    )
    one = order(line(1, "a")).model_copy(update={"order_id": "one"})
    two = order(line(1, "b")).model_copy(update={"order_id": "two"})
    standing = order_by_order([one, two], world, Policy(), recipients=["ada", "ada"])
    assert [each.standing[0].node_id for each in standing] == ["north", "south"]
    found = plan_wave(Wave(orders=tuple(standing), snapshot=world))
    assert {each.order_id: each.shipments[0].node_id for each in found.reassignments} == {
        "one": "south",
        "two": "south",
    }
    (together,) = found.consolidations
    assert (together.order_ids, together.node_ids, together.saved_minor) == (("one", "two"), ("south",), 500)
    assert sum(each.shipments[0].cost.freight for each in found.reassignments) == 500


def test_a_shared_parcel_is_an_order_of_each_to_the_day_of_its_node() -> None:
    world = snapshot([node("near", city=0)], {("near", "a"): 9}, rates=[flat_rate(500)])
    told = (DayLoad(day=DAYS[0], limit=None, order_limit=1),)
    world = world.model_copy(update={"loads": (NodeLoad(node_id="near", days=told),)})
    orders = tuple(
        WaveOrder(
            order=order(line(1, "a")).model_copy(update={"order_id": f"o{n}"}), policy=Policy(wait_day_minor=100),
            recipient="ada",
        )
        for n in range(2)
    )  # fmt: skip
    found = plan_wave(Wave(orders=orders, snapshot=world, rules=NO_CHURN))
    # The first day has room for one of them; a second parcel costs more than that both wait for the next.
    assert {one.ship_by.date() for each in found.reassignments for one in each.shipments} == {DAYS[1]}
    assert [each.order_ids for each in found.consolidations] == [("o0", "o1")]


def test_what_stands_stays_even_where_its_node_is_full_or_gone() -> None:
    world = snapshot(
        [node("closed", city=0, ship_enabled=False), node("full", city=0, daily_units=1)],
        {("closed", "a"): 1, ("full", "a"): 1},
        rates=[flat_rate(500)],
        loads={"full": 9},
    )
    before = opened(world).model_copy(update={"loads": (NodeLoad(node_id="full", units=0),)})
    came = [order(line(1, "a")).model_copy(update={"order_id": f"o{n}"}) for n in range(2)]
    standing = order_by_order(came, before, Policy())
    found = plan_wave(Wave(orders=tuple(standing), snapshot=world))
    assert found.short_after == 0
    assert found.after_minor <= found.before_minor


def test_orders_whose_bundles_stay_together_are_left_to_the_planner() -> None:
    whole = _contended(0)
    kept = tuple(each.model_copy(update={"policy": Policy(keep_bundles_together=True)}) for each in whole.orders)
    found = plan_wave(whole.model_copy(update={"orders": kept}))
    assert (found.frozen, found.reassignments) == (2, ())
    assert found.before_minor == found.after_minor
