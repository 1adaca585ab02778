from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.domain.network import NodeType
from shared.domain.orders import Address
from shared.gateways.fulfillment.mapping import (
    PickPackTask,
    PurchaseOrder,
    ShippingOrder,
    document_for,
    path_for,
    return_notice,
    task,
)
from shared.gateways.protocol import Consolidation, ExpectReturn, FulfillmentRequest, RequestedLine

ADDRESS = Address(
    name="Jane Doe", line1="1 Main St", city="Reno", region="NV", postal_code="89501", email="jane@example.com"
)
LINES = (
    RequestedLine(line_no=1, sku="MUG", partner_sku="V-77", quantity=3, weight_g=350, unit_cost_minor=410),
    RequestedLine(line_no=4, sku="CUP", partner_sku="V-78", quantity=1, weight_g=200, unit_cost_minor=99),
)


def request(node_type: NodeType) -> FulfillmentRequest:
    return FulfillmentRequest(
        reference="web/1/f1",
        order_id="web/1",
        node_id="reno",
        node_type=node_type,
        ship_to=ADDRESS,
        carrier="parcelpost",
        service="ground",
        ship_by=datetime(2026, 3, 1, tzinfo=UTC),
        lines=LINES,
    )


@pytest.mark.parametrize("node_type", [NodeType.WAREHOUSE, NodeType.STORE])
def test_our_nodes_get_a_task(node_type: NodeType) -> None:
    task = document_for(request(node_type))
    assert isinstance(task, PickPackTask)
    assert (task.reference, task.node, task.ship_to.address_1) == ("web/1/f1", "reno", "1 Main St")
    assert [(line.line_no, line.sku, line.quantity) for line in task.lines] == [(1, "MUG", 3), (4, "CUP", 1)]


def test_a_third_party_gets_a_shipping_order() -> None:
    order = document_for(request(NodeType.LOGISTICS))
    assert isinstance(order, ShippingOrder)
    assert [(line.item, line.depositor_item) for line in order.lines] == [("V-77", "MUG"), ("V-78", "CUP")]


def test_a_vendor_gets_a_purchase_order() -> None:
    order = document_for(request(NodeType.VENDOR))
    assert isinstance(order, PurchaseOrder)
    assert order.total_cost_minor == 3 * 410 + 99
    assert [(line.vendor_item, line.buyer_item) for line in order.lines] == [("V-77", "MUG"), ("V-78", "CUP")]


@pytest.mark.parametrize("node_type", NodeType)
def test_no_document_tells_more_than_its_reader_needs(node_type: NodeType) -> None:
    text = document_for(request(node_type)).model_dump_json()
    assert "jane@example.com" not in text
    assert '"cost' not in text if node_type is not NodeType.VENDOR else True


def test_paths_differ_by_document() -> None:
    assert len({path_for(node_type) for node_type in NodeType}) == 3


def test_a_return_notice_lists_what_comes_back() -> None:
    expected = ExpectReturn(
        reference="ret/1", order_id="web/1", node_id="reno", node_type=NodeType.STORE, lines=LINES[:1]
    )
    notice = return_notice(expected)
    assert (notice.reference, notice.node, notice.lines[0].quantity) == ("ret/1", "reno", 3)


def test_a_task_says_what_it_is_packed_with_and_nothing_when_it_goes_alone() -> None:
    asked = request(NodeType.WAREHOUSE)
    assert "consolidation" not in task(asked).model_dump_json()
    shared = asked.model_copy(update={"consolidation": Consolidation(consolidation_id="web/1/f1/c1", members=3)})
    assert '"consolidation":{"consolidation_id":"web/1/f1/c1","members":3}' in task(shared).model_dump_json()
