"""What channels must leave of an item for each other, against every way its single units can be dealt out."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.pools import Pool, Pooled, fill_pools, leaves, place, takeable, takeable_alone
from tests.support.pools import can_take, held_by_hand, takings

NODES, CHANNELS = ("a", "b", "c"), ("web", "app", "shop")
stocks = st.fixed_dictionaries({node: st.integers(0, 3) for node in NODES})
somewhere = st.frozensets(st.sampled_from(NODES))
items = st.permutations(CHANNELS).flatmap(
    lambda order: st.builds(
        Pooled,
        sku=st.just("s"),
        channel=st.just("web"),
        pools=st.tuples(
            *(st.builds(Pool, channel=st.just(c), units=st.integers(0, 4), nodes=somewhere) for c in order)
        ),
        sells_common=st.booleans(),
    )
)


@settings(max_examples=60)
@given(stocks, items)
def test_pools_hold_what_the_best_deal_gives_them(stock: dict[str, int], item: Pooled) -> None:
    held = {pool.channel: pool.units for pool in fill_pools(stock, item.pools)}
    expected = zip(item.pools, held_by_hand(stock, item.pools), strict=True)
    assert held == {pool.channel: units for pool, units in expected if units}


@settings(max_examples=60)
@given(stocks, items, st.fixed_dictionaries({node: st.integers(0, 4) for node in NODES}))
def test_what_may_be_taken_is_what_every_deal_allows(
    stock: dict[str, int], item: Pooled, taken: dict[str, int]
) -> None:
    assert item.may_take(stock, taken) == can_take(stock, item, taken)


@settings(max_examples=40)
@given(stocks, items, somewhere)
def test_the_most_that_may_be_taken_is_found(stock: dict[str, int], item: Pooled, nodes: frozenset[str]) -> None:
    kept = item.kept_from(stock)
    possible = [taken for taken in takings(stock) if can_take(stock, item, taken)]
    at = [taken for taken in possible if all(node in nodes for node, units in taken.items() if units)]
    assert takeable(stock, kept, nodes) == max(sum(taken.values()) for taken in at)
    alone = takeable_alone(stock, kept)
    for node in NODES:
        only = [taken[node] for taken in possible if not any(units for n, units in taken.items() if n != node)]
        assert alone[node] == max(only)


@settings(max_examples=40)
@given(stocks, items, st.fixed_dictionaries({node: st.integers(0, 3) for node in NODES}))
def test_what_is_kept_is_laid_where_least_is_wanted(
    stock: dict[str, int], item: Pooled, wanted: dict[str, int]
) -> None:
    kept = item.kept_from(stock)
    laid = place(stock, kept, wanted)
    assert sum(laid.values()) == sum(pool.units for pool in kept)
    free = {node: stock[node] - laid.get(node, 0) for node in NODES}
    assert min(free.values()) >= 0
    assert leaves(stock, kept, free), "whatever is taken of the rest, all that is kept is left"
    got = sum(min(free[node], wanted[node]) for node in NODES)
    within = (taken for taken in takings(stock) if all(taken[node] <= wanted[node] for node in NODES))
    assert got == max(sum(taken.values()) for taken in within if can_take(stock, item, taken))


@settings(max_examples=40)
@given(stocks, items, st.sampled_from(NODES))
def test_more_stock_leaves_every_pool_as_full(stock: dict[str, int], item: Pooled, node: str) -> None:
    before = Counter({pool.channel: pool.units for pool in fill_pools(stock, item.pools)})
    after = Counter({pool.channel: pool.units for pool in fill_pools(stock | {node: stock[node] + 1}, item.pools)})
    assert before <= after


def test_a_pool_is_kept_in_total_wherever_it_lies() -> None:
    """Ten of fifteen units are kept: the other channel takes any five, of one node or of both."""
    stock = {"a": 8, "b": 7}
    item = Pooled(sku="s", channel="web", pools=(Pool(channel="app", units=10, nodes=frozenset("ab")),))
    kept = item.kept_from(stock)
    assert takeable_alone(stock, kept) == {"a": 5, "b": 5}
    assert takeable(stock, kept, "ab") == 5
    assert item.may_take(stock, {"a": 2, "b": 3})
    assert not item.may_take(stock, {"a": 3, "b": 3})
    assert place(stock, kept, {"a": 5}) == {"a": 3, "b": 7}


def test_a_pool_makes_room_for_another() -> None:
    """The first could hold either unit, the second only one of them: both are full."""
    pools = (Pool(channel="app", units=1, nodes=frozenset("ab")), Pool(channel="shop", units=1, nodes=frozenset("a")))
    held = fill_pools({"a": 1, "b": 1}, pools)
    assert [(pool.channel, pool.units) for pool in held] == [("app", 1), ("shop", 1)]
