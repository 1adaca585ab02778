from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.consolidation import (
    Candidate,
    Packing,
    keeps_out,
    may_share,
    sealing,
    share_cost,
    why_apart,
)
from shared.domain.orders import ServiceLevel

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)

candidates = st.lists(
    st.builds(
        Candidate,
        fulfillment_order_id=st.uuids().map(str),
        order_id=st.sampled_from(["web/1", "web/2", "web/3"]),
        channel=st.sampled_from(["web", "shop"]),
        recipient=st.sampled_from(["", "ada/1mainst", "bob/1mainst"]),
        level=st.sampled_from(list(ServiceLevel)[:2]),
        node_id=st.sampled_from(["reno", "austin"]),
        told=st.booleans(),
        held=st.booleans(),
        our_label=st.booleans(),
    ),
    max_size=8,
)
members = st.lists(
    st.builds(
        Packing,
        fulfillment_order_id=st.uuids().map(str),
        packed=st.booleans(),
        ship_by=st.integers(-48, 48).map(lambda hours: NOW + timedelta(hours=hours)),
    ),
    min_size=1,
    max_size=6,
)


@given(candidates)
def test_whoever_shares_agrees_in_everything_and_nobody_shares_twice(found: list[Candidate]) -> None:
    by_id = {candidate.fulfillment_order_id: candidate for candidate in found}
    groups = may_share(found)
    sharing = [by_id[owner] for group in groups for owner in group]
    assert len({candidate.fulfillment_order_id for candidate in sharing}) == len(sharing)
    assert not any(candidate.told or candidate.held or not candidate.our_label for candidate in sharing)
    for group in groups:
        assert len(group) > 1
        together = [by_id[owner] for owner in group]
        assert len({(c.recipient, c.channel, c.level, c.node_id) for c in together}) == 1
        assert together[0].recipient


@given(candidates)
def test_two_that_are_alike_and_free_to_share_are_never_left_apart(found: list[Candidate]) -> None:
    groups = may_share(found)
    group_of = {owner: number for number, group in enumerate(groups) for owner in group}
    able = [candidate for candidate in found if not keeps_out(candidate)]
    for one in able:
        for other in able:
            alike = (one.recipient, one.channel, one.level, one.node_id) == (
                other.recipient,
                other.channel,
                other.level,
                other.node_id,
            )
            if one is not other:
                names = (one.fulfillment_order_id, other.fulfillment_order_id)
                assert alike == (group_of.get(names[0], -1) == group_of.get(names[1], -2))


@given(candidates.filter(lambda found: len(found) > 1))
def test_who_may_not_share_is_told_why(found: list[Candidate]) -> None:
    if not may_share(found):
        assert why_apart(found)


@given(members)
def test_a_label_waits_for_all_but_makes_nobody_late(found: list[Packing]) -> None:
    decision = sealing(found, NOW)
    missing = [member.fulfillment_order_id for member in found if not member.packed]
    due = [member.ship_by for member in found if member.packed]
    if decision.wait_until is None:
        assert list(decision.left_behind) == missing
        assert not missing or not due or min(due) <= NOW
    else:
        assert missing
        assert decision.wait_until == min(due)
        assert decision.wait_until > NOW
        assert decision.left_behind == ()
        assert sealing(found, decision.wait_until).left_behind == tuple(missing)


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=9))
def test_shares_of_a_label_add_up_to_the_cent(cost_minor: int, weights_g: list[int]) -> None:
    shares = share_cost(cost_minor, weights_g)
    assert sum(shares) == cost_minor
    assert len(shares) == len(weights_g)
    pairs = sorted(zip(weights_g, shares, strict=True))
    assert all(lighter[1] <= heavier[1] + 1 for lighter, heavier in pairwise(pairs))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"recipient": ""}, "does not say who the customer is"),
        ({"told": True}, "already told"),
        ({"held": True}, "a hold"),
        ({"our_label": False}, "no label"),
    ],
)
def test_what_keeps_out_is_named(change: dict[str, object], why: str) -> None:
    plain = Candidate(
        fulfillment_order_id="web/1/f1",
        order_id="web/1",
        channel="web",
        recipient="ada/1mainst",
        level=ServiceLevel.STANDARD,
        node_id="reno",
    )
    assert keeps_out(plain) == ""
    assert why in keeps_out(plain.model_copy(update=change))
