"""Bring the servers to what this version needs: schema, search attributes, policy, schedules. Safe to repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client, Schedule
from temporalio.common import SearchAttributeIndexedValueType
from temporalio.service import RPCError, RPCStatusCode

from shared.contracts import BATCH_QUEUE, CHANNELS_QUEUE, PLANNING_QUEUE, SEARCH_ATTRIBUTES
from shared.database import policies
from shared.database.engine import Database
from shared.database.migrate import upgrade
from shared.domain.policy import ProcessPolicy
from shared.domain.sourcing.models import Policy
from shared.messages import CartSweepInput, PriceInput, ReconcileInput, WatchInput
from shared.messages.feeds import FeedWatchInput
from shared.messages.quotes import QuoteRefreshInput
from shared.messages.risks import RiskInput
from shared.schedules import every, keep_schedule
from shared.settings import Settings
from workers.connect import temporal_client

RECONCILIATION_SCHEDULE = "reconciliation"


#: By name.
SCHEDULES: Mapping[str, Schedule] = {
    RECONCILIATION_SCHEDULE: every(
        timedelta(minutes=1),
        "Reconciliation",
        ReconcileInput(),
        name="reconciliation",
        queue=BATCH_QUEUE,
        summary="compare the facts with themselves; resume what a crash left behind",
    ),
    "cart-sweep": every(
        timedelta(seconds=15),
        "CartSweep",
        CartSweepInput(),
        name="cart-sweep",
        queue=BATCH_QUEUE,
        summary="give back what carts hold beyond their time",
    ),
    "stock-watch": every(
        timedelta(minutes=5),
        "StockWatch",
        WatchInput(),
        name="stock-watch",
        queue=BATCH_QUEUE,
        summary="hold back what counts give reason to doubt; compare levels with their thresholds",
    ),
    "pricing": every(
        PriceInput().every,
        "Pricing",
        PriceInput(),
        name="pricing",
        queue=PLANNING_QUEUE,
        summary="price what may run short before its next supply",
    ),
    "waves": every(
        timedelta(minutes=10),
        "StartWaves",
        name="start-waves",
        queue=PLANNING_QUEUE,
        summary="plan orders again together that are kept from their nodes for a while",
    ),
    "feed-watch": every(
        timedelta(minutes=1),
        "FeedWatch",
        FeedWatchInput(),
        name="feed-watch",
        queue=BATCH_QUEUE,
        summary="hold back stock whose source's figures are too old",
    ),
    "quote-refresh": every(
        QuoteRefreshInput().every,
        "QuoteRefresh",
        QuoteRefreshInput(),
        name="quote-refresh",
        queue=BATCH_QUEUE,
        summary="ask carriers again for the quotes that orders are planned by",
    ),
    "risk-assessment": every(
        timedelta(hours=1),
        "RiskAssessment",
        RiskInput(),
        name="risk-assessment",
        queue=BATCH_QUEUE,
        summary="learn how often nodes reject what they are asked to ship, or hand it over late",
    ),
    "transfer-advices": every(
        timedelta(minutes=1),
        "TransferAdvices",
        name="transfer-advices",
        queue=BATCH_QUEUE,
        summary="tell warehouses of transfers on their way to them",
    ),
    "publishing": every(
        timedelta(minutes=1),
        "StartPublishing",
        name="start-publishing",
        queue=CHANNELS_QUEUE,
        summary="see to it that every channel is told what it may sell",
    ),
}
_TYPES = {
    SearchAttributeIndexedValueType.KEYWORD: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    SearchAttributeIndexedValueType.KEYWORD_LIST: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
    SearchAttributeIndexedValueType.DATETIME: IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
}


async def bootstrap(settings: Settings) -> None:
    """Everything a deployment does before its workers start."""
    await asyncio.to_thread(upgrade, settings.database_url)
    database = Database(settings.database_url, pool_size=1)
    try:
        async with database.transaction() as connection:
            await policies.keep(connection, Policy(), ProcessPolicy())
    finally:
        await database.close()
    temporal = await temporal_client(settings, program="bootstrap", patience=60)
    await register_search_attributes(temporal)
    await keep_schedules(temporal)


async def register_search_attributes(temporal: Client) -> None:
    """Upserting an attribute that is not registered wedges a workflow, so they come before the workers."""
    operator = temporal.operator_service
    known = await operator.list_search_attributes(ListSearchAttributesRequest(namespace=temporal.namespace))
    missing = {
        key.name: _TYPES[key.indexed_value_type] for key in SEARCH_ATTRIBUTES if key.name not in known.custom_attributes
    }
    if missing:
        request = AddSearchAttributesRequest(namespace=temporal.namespace, search_attributes=missing)
        await _unless_there(operator.add_search_attributes(request))


async def _unless_there(work: object) -> None:
    try:
        await work  # type: ignore[misc]
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise


async def keep_schedules(temporal: Client) -> None:
    """Create the schedules, or bring them to what this version wants."""
    for name, schedule in SCHEDULES.items():
        await keep_schedule(temporal, name, schedule)
