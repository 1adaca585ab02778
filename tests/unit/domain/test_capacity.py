"""Units laid on the days of nodes, against a walk through the calendar day by day."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.capacity import ALL, UNLIMITED, Day, Room, Work, lay, lay_each, working_days
from shared.domain.network import Calendar
from shared.domain.sourcing import plan
from shared.domain.sourcing.models import DayLoad, NodeLoad, Policy, Snapshot
from shared.domain.sourcing.plans import Plan
from tests.support.sourcing import line, node, order, snapshot

ZONES = ("UTC", "America/New_York", "Pacific/Auckland", "Asia/Kolkata")
START = datetime(2026, 3, 6, tzinfo=UTC)
calendars = st.builds(
    Calendar,
    cutoff=st.builds(time, st.integers(0, 23), st.sampled_from((0, 30))),
    working_days=st.sets(st.integers(1, 7), min_size=1).map(lambda days: tuple(sorted(days))),
    closures=st.sets(st.dates(date(2026, 3, 6), date(2026, 3, 20)), max_size=4).map(lambda days: tuple(sorted(days))),
)
moments = st.integers(0, 14 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes))
units_by_day = st.dictionaries(st.integers(0, 40), st.tuples(st.integers(0, 6), st.integers(0, 8)), max_size=12)


def days_that_work(calendar: Calendar, zone: str, as_of: datetime, handling_days: int, count: int) -> list[date]:
    """Hand-over days, by looking at one day after the other."""
    local = as_of.astimezone(ZoneInfo(zone))
    day = local.date() + timedelta(days=local.time() >= calendar.cutoff)
    found: list[date] = []
    while len(found) < handling_days + count:
        if day.isoweekday() in calendar.working_days and day not in calendar.closures:
            found.append(day)
        day += timedelta(days=1)
    return found[handling_days:]


@given(
    calendars, st.sampled_from(ZONES), moments, st.integers(0, 3), st.integers(1, 6), st.integers(0, 20),
    units_by_day, st.integers(1, 12),
)  # fmt: skip
def test_the_promise_is_the_first_day_by_which_the_units_are_ready(
    calendar: Calendar,
    zone: str,
    as_of: datetime,
    handling_days: int,
    daily: int,
    undated: int,
    set_days: dict[int, tuple[int, int]],
    units: int,
) -> None:
    at = node("n1", daily_units=daily)
    at = at.model_copy(
        update={
            "calendar": calendar,
            "handling_days": handling_days,
            "place": at.place.model_copy(update={"time_zone": zone}),
        }
    )
    overrides = {as_of.date() + timedelta(days=back): told for back, told in set_days.items()}
    days = tuple(DayLoad(day=day, limit=limit, used=used) for day, (limit, used) in overrides.items())
    seen = snapshot([at], {("n1", "a"): units}).model_copy(
        update={"as_of": as_of, "loads": (NodeLoad(node_id="n1", units=undated, days=days),)}
    )
    found = plan(order(line(1, "a", units)), seen, Policy(allow_line_split=False))

    ready, wait, opened, expected = 0, undated, 0, None
    for day in days_that_work(calendar, zone, as_of, handling_days, 20):
        limit, used = overrides.get(day, (daily, 0))
        room = max(0, limit - used)
        ahead = min(wait, room)
        wait -= ahead
        ready += room - ahead
        opened += room > ahead
        if ready >= units:
            expected = day
            break
        if opened == 5:
            break
    assert _handed_over(found, zone) == expected
    if expected is not None:
        check_claims(seen, found, overrides, daily, units)


def _handed_over(found: Plan, zone: str) -> date | None:
    return found.shipments[0].ship_by.astimezone(ZoneInfo(zone)).date() if found.shipments else None


def check_claims(seen: Snapshot, found: Plan, overrides: dict[date, tuple[int, int]], daily: int, units: int) -> None:
    """What the plan promises can be claimed, from its last day backwards."""
    at, shipment = seen.nodes[0], found.shipments[0]
    days = working_days(at, seen.as_of, shipment.ship_by)
    assert list(days) == sorted(days, reverse=True)
    room = {}
    for day in days:
        limit, used = overrides.get(day, (daily, 0))
        room[Day("n1", day, ALL)] = Room(max(0, limit - used))
    laid = lay([Work(0, "n1", "standard", units, days)], room)
    assert laid is not None
    assert sum(laid[0].values()) == units
    taken = [laid[0].get(Day("n1", day, ALL), 0) for day in days]
    last = max(place for place, each in enumerate(taken) if each)
    assert all(taken[place] == room[Day("n1", days[place], ALL)].units for place in range(last))


TODAY = date(2026, 3, 9)
works = st.builds(
    lambda node_id, service, units, first, count: Work(
        0, node_id, service, units, tuple(TODAY + timedelta(days=first + count - back) for back in range(count + 1))
    ),
    st.sampled_from(("n1", "n2")),
    st.sampled_from(("standard", "expedited")),
    st.integers(1, 6),
    st.integers(0, 3),
    st.integers(0, 3),
)
limits = st.builds(
    Day, st.sampled_from(("n1", "n2")), st.integers(0, 6).map(lambda n: TODAY + timedelta(days=n)),
    st.sampled_from((ALL, "standard", "expedited")),
)  # fmt: skip


rooms = st.builds(Room, st.integers(0, 8) | st.just(UNLIMITED), st.integers(0, 4) | st.just(UNLIMITED))


@given(st.lists(st.lists(works, max_size=3), max_size=8), st.dictionaries(limits, rooms, max_size=20))
def test_no_limit_is_overstepped_and_the_earlier_goes_first(wishes: list[list[Work]], room: dict[Day, Room]) -> None:
    left = dict(room)
    taken, orders = Counter[Day](), Counter[Day]()
    for asked, found in zip(wishes, lay_each(wishes, left), strict=True):
        if found is None:
            now = {limit: Room(all_.units - taken[limit], all_.orders - orders[limit]) for limit, all_ in room.items()}
            assert lay(asked, now) is None
            continue
        for work, by_limit in zip(asked, found, strict=True):
            for limit, units in by_limit.items():
                assert limit in room
                assert limit in work.limits
                assert 0 < units <= work.units
            taken.update(by_limit)
            orders.update(by_limit.keys())
    assert all(units <= room[limit].units for limit, units in taken.items())
    assert all(count <= room[limit].orders for limit, count in orders.items())
    assert left == {limit: Room(all_.units - taken[limit], all_.orders - orders[limit]) for limit, all_ in room.items()}


def test_a_day_whose_orders_are_used_up_is_passed_over_by_plans_and_by_claims() -> None:
    at = node("n1", daily_units=5)
    free, full = at.model_copy(update={"daily_units": None}), {"order_limit": 2, "used_orders": 2}
    for site in (at, free):
        seen = snapshot([site], {("n1", "a"): 9})
        first, second = days_that_work(site.calendar, site.place.time_zone, seen.as_of, site.handling_days, 2)
        today = DayLoad(day=first, limit=site.daily_units, **full)
        seen = seen.model_copy(update={"loads": (NodeLoad(node_id="n1", days=(today,)),)})
        found = plan(order(line(1, "a", 2)), seen, Policy())
        assert _handed_over(found, site.place.time_zone) == second
        works = [Work(0, "n1", "standard", 2, working_days(site, seen.as_of, found.shipments[0].ship_by))]
        limits_of = {Day("n1", first, ALL): Room(5, 0), Day("n1", second, ALL): Room(5, 1)}
        assert lay(works, limits_of) == [{Day("n1", second, ALL): 2}]
