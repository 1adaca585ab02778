"""The HTML reports, read back as a browser would: every figure stands there, nothing is fetched."""

from __future__ import annotations

from datetime import timedelta
from html.parser import HTMLParser

import pytest

from shared.domain.sourcing.models import WantedLine
from shared.domain.sourcing.presets import PRESETS
from shared.domain.sourcing.simulation import Comparison, Replay, ReplayedOrder, compare
from tests.support.sourcing import AS_OF, CITIES, line, node, order, place, rates
from workers.cli.locate import located
from workers.report.charts import bars, grouped
from workers.report.maps import drawn_map
from workers.report.pages import locations_page, simulation_page

Element = tuple[str, dict[str, str]]
_VOID = {"meta"}


class Page(HTMLParser):
    """Elements, texts and the cells of each table by its id; tags must close in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.elements.append((tag, values))
        if tag == "table":
            self.tables[values["id"]] = []
        if tag == "tr":
            next(reversed(self.tables.values())).append([])
        if tag in ("td", "th"):
            next(reversed(self.tables.values()))[-1].append("")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())
        if self.open and self.open[-1] in ("td", "th"):
            next(reversed(self.tables.values()))[-1][-1] += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [values for name, values in self.elements if name == tag and wanted.items() <= values.items()]


@pytest.fixture(scope="module")
def replay() -> Replay:
    """Forty orders to eleven cities from two nodes and a third with an odd name, one of them for what runs out."""

    def wanted(turn: int) -> WantedLine:
        return line(1, f"sku-{turn % 3}", 1 + turn % 3).model_copy(update={"unit_price_minor": 2500})

    orders = tuple(
        ReplayedOrder(
            order(wanted(turn)).model_copy(
                update={
                    "order_id": f"o-{turn:02d}",
                    "ship_to": place(turn).model_copy(update={"postal_code": f"{turn % len(CITIES):03d}01"}),
                }
            ),
            AS_OF + turn * timedelta(minutes=10),
        )
        for turn in range(40)
    )
    nodes = (node("wh-ny", order_minor=120), node("wh-la", city=1, order_minor=90), node("a-b.c:d", city=3))
    stock = {(at.node_id, f"sku-{sku}"): 12 for at in nodes for sku in range(3)}
    return Replay(nodes, rates(), stock, dict.fromkeys(stock, 700), orders)


@pytest.fixture(scope="module")
def found(replay: Replay) -> Comparison:
    return compare(replay, [PRESETS["balanced"], PRESETS["cheapest"], PRESETS["fastest"]])


def test_every_figure_of_a_simulation_can_be_read(replay: Replay, found: Comparison) -> None:
    page = Page(simulation_page(found, replay))
    rows = {row[0]: row[1:] for row in page.tables["figures"][1:]}
    assert page.tables["figures"][0] == ["", *(one.policy_version for one in found.policies)]
    for name in ("paid_per_order_minor", "profit_per_order_minor", "split_rate", "late_orders", "short_units"):
        values = [getattr(one, name) for one in found.policies]
        assert rows[name.replace("_", " ")] == [str(value) for value in values]
        assert {f"{value:,g}" for value in values} <= set(page.texts)
    for row in page.tables["nodes"][1:]:
        assert row[1:] == [
            f"{share.units} ({share.shipments})" if share else "0 (0)"
            for one in found.policies
            for share in [next((node for node in one.nodes if node.node_id == row[0]), None)]
        ]
    short = {row[0]: row[1:] for row in page.tables["short"][1:]}
    assert sum(int(values[0]) for values in short.values()) == found.policies[0].short_units > 0


def test_a_simulation_shows_nodes_customers_and_a_chart_of_each_kind(replay: Replay, found: Comparison) -> None:
    page = Page(simulation_page(found, replay))
    titles = {values["aria-label"] for values in page.all("svg")}
    assert {"Cost per order", "Profit per order", "Units shipped, by node", "Map", "Shipments"} <= titles
    assert len(page.all("rect", **{"class": "node"})) == len(replay.nodes)
    assert len(page.all("circle", **{"class": "customer"})) == len(CITIES)


def test_a_page_fetches_nothing_and_runs_no_script(replay: Replay, found: Comparison) -> None:
    for text in (simulation_page(found, replay), locations_page(located(replay, 2), replay)):
        page = Page(text)
        assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.elements}
        assert not [values for _, values in page.elements if {"src", "href", "onload", "onclick"} & set(values)]
        assert "url(" not in text
        assert "@import" not in text


def test_names_from_outside_are_text(replay: Replay, found: Comparison) -> None:
    odd = found.policies[0].model_copy(update={"policy_version": "<script>alert(1)</script>"})
    text = simulation_page(found.model_copy(update={"policies": (odd,)}), replay)
    assert "<script" not in text
    assert Page(text).tables["figures"][0] == ["", "<script>alert(1)</script>"]


def test_profit_is_what_is_left_of_the_prices(replay: Replay, found: Comparison) -> None:
    for one in found.policies:
        assert one.revenue_minor == 2500 * one.units
        assert one.profit_minor == one.revenue_minor - one.paid_minor
        assert one.paid_by_term["item_cost"] == 700 * one.units


def test_where_sites_would_stand_is_told_and_drawn(replay: Replay) -> None:
    found = located(replay, 2)
    page = Page(locations_page(found, replay))
    rows = page.tables["layouts"][1:]
    assert [row[1] for row in rows] == [str(one.freight_minor) for one in (found.today, *found.alone, *found.beside)]
    assert found.beside[1].saved_minor >= found.beside[0].saved_minor >= 0
    assert len(page.all("path", **{"class": "site"})) == len(page.all("path", **{"class": "centre"})) == 2
    assert all(row[-1] == "proven best" for row in rows[1:])


def test_bars_are_as_long_as_their_values() -> None:
    chart = bars("profit", ["a", "b", "c"], [100, -50, 0])
    long, short, none = chart.bars
    assert long.width == pytest.approx(2 * short.width, abs=0.2)
    assert none.width == 0
    assert long.x == none.x == chart.zero
    assert short.x + short.width == pytest.approx(chart.zero, abs=0.2)
    assert [bar.text for bar in grouped("load", ["n"], [[1200], [0.25]]).bars] == ["1,200", "0.25"]


def test_a_map_of_one_place_and_of_none() -> None:
    one = drawn_map([place(0)], [])
    assert [(mark.x, mark.y) for mark in one.customers] == [(40.0, 40.0)]
    assert drawn_map([], []).customers == ()


def test_north_is_up_and_east_is_right() -> None:
    boston, miami, angeles = (drawn_map([], [node("a", city=9), node("b", city=4), node("c", city=1)])).nodes
    assert boston.y < angeles.y < miami.y
    assert angeles.x < miami.x < boston.x
