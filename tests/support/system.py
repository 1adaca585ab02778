"""The whole system in one process for a test: real Postgres, Temporal and HTTP; the sandbox plays the partners."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from shared.client import Doms
from shared.codec import data_converter
from shared.database.engine import Database
from shared.domain.orders import Address, OrderDocument, OrderLine, PaymentMethod, ServiceLevel
from shared.domain.policy import ProcessPolicy
from shared.domain.sourcing.models import Policy
from shared.messages import OrderState, order_workflow_id
from tests.support.partners import PARTNER_KEY, serving
from workers.api.app import Inbox, make_app
from workers.bootstrap import activate_policy, register_search_attributes, save_policy
from workers.demo.load import load_world, set_free_stock
from workers.demo.world import StockRow, World, make_world
from workers.main import working
from workers.sandbox.app import running
from workers.sandbox.config import Pace, Rates, SandboxConfig
from workers.sandbox.log import Effect, read_effects

#: Days pass in tenths of a second: the durations are data, no step is skipped.
QUICK = ProcessPolicy(
    answer_within=timedelta(seconds=20),
    exclude_for=timedelta(minutes=5),
    backorder_patience=timedelta(minutes=5),
    backorder_retry=timedelta(minutes=1),
    payment_patience=timedelta(minutes=1),
)
PACE = Pace(accept_after=0.02, pack_after=0.05, ship_after=0.02, late_by=1.0, transit=0.1, return_after=0.1)
SHIP_TO = Address(name="Jane Doe", line1="1 Main St", city="New York", region="NY", postal_code="10001")


@dataclass
class System:
    """A running DOMS and the world around it."""

    doms: Doms
    database: Database
    temporal: Client
    sandbox_url: str
    api_url: str
    log: Path
    world: World
    _placed: list[str] = field(default_factory=list)

    def order(self, *lines: tuple[str, int], **changes: Any) -> OrderDocument:
        """A document of ``(sku, quantity)`` lines priced as the catalogue says."""
        prices = {item.sku: item.price_minor for item in self.world.items}
        document = OrderDocument(
            channel="webshop",
            channel_order_id=f"t-{uuid.uuid4().hex[:12]}",
            placed_at=datetime.now(UTC),
            currency="USD",
            ship_to=SHIP_TO,
            lines=tuple(
                OrderLine(line_no=n, sku=sku, quantity=quantity, unit_price_minor=prices.get(sku, 100))
                for n, (sku, quantity) in enumerate(lines, start=1)
            ),
            service=ServiceLevel.STANDARD,
            payment=PaymentMethod(token="tok_ok"),
        )
        return OrderDocument.model_validate(document.model_dump() | changes)

    async def place(self, document: OrderDocument) -> str:
        """Submit an order and remember it."""
        verdict = await self.doms.submit(document)
        self._placed.append(verdict.order_id)
        return verdict.order_id

    def handle(self, order_id: str) -> WorkflowHandle[Any, Any]:
        return self.temporal.get_workflow_handle(order_workflow_id(order_id))

    async def state(self, order_id: str) -> OrderState:
        return await self.handle(order_id).query("state", result_type=OrderState)

    async def finished(self, order_id: str, *, within: float = 60.0) -> Any:
        """The order's outcome, once it is over."""
        async with asyncio.timeout(within):
            return await self.handle(order_id).result()

    async def until(self, met: Callable[[], Awaitable[object]], *, within: float = 30.0) -> None:
        """Wait for a condition on the facts."""
        async with asyncio.timeout(within):
            while not await met():
                await asyncio.sleep(0.05)

    async def stage(self, order_id: str, n: int, *stages: str, within: float = 30.0) -> None:
        """Wait until a fulfillment order's process is at one of the stages."""

        async def met() -> bool:
            state = await self.state(order_id)
            return any(f.n == n and f.stage in stages for f in state.fulfillments)

        await self.until(met, within=within)

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        async with self.database.reading() as connection:
            return list((await connection.execute(text(statement), values)).all())

    async def value(self, statement: str, **values: Any) -> Any:
        return (await self.rows(statement, **values))[0][0]

    async def stock(self, sku: str, **on_hand: int) -> None:
        """Make these the only free units of an item: ``stock("TOY-1", wh=3)`` with dashes as underscores."""
        wanted = {node.replace("_", "-"): units for node, units in on_hand.items()}
        rows = [
            StockRow(node_id=node.node_id, sku=sku, on_hand=wanted.pop(node.node_id, 0)) for node in self.world.nodes
        ]
        assert not wanted, f"no such nodes: {wanted}"
        await set_free_stock(self.database, rows, f"test/{uuid.uuid4().hex}")

    async def behave(self, behaviour: str, **whom: str) -> None:
        """Make a node or a reference behave: ``behave("reject", node_id="store-1")``."""
        import httpx

        async with httpx.AsyncClient() as http:
            answer = await http.post(f"{self.sandbox_url}/control/behaviour", json={**whom, "behaviour": behaviour})
            assert answer.is_success, answer.text

    async def fault(self, partner: str, mode: str, **options: Any) -> None:
        import httpx

        async with httpx.AsyncClient() as http:
            answer = await http.post(
                f"{self.sandbox_url}/control/faults", json={"partner": partner, "mode": mode, **options}
            )
            assert answer.is_success, answer.text

    def effects(self, order_id: str = "") -> list[Effect]:
        """What the partners really did, by their own log."""
        return [e for e in read_effects(self.log) if order_id in (e.reference or "") or not order_id]


async def namespace(address: str) -> Client:
    """A client of a new namespace: its queues and workflows are this test's alone."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    root = await Client.connect(address)
    request = RegisterNamespaceRequest(namespace=name)
    request.workflow_execution_retention_period.FromTimedelta(timedelta(days=1))
    await root.workflow_service.register_namespace(request)
    client = await Client.connect(address, namespace=name, data_converter=data_converter())
    async with asyncio.timeout(30):
        while True:
            try:
                await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=name))
                await register_search_attributes(client)
                return client
            except RPCError:
                await asyncio.sleep(0.1)


@asynccontextmanager
async def system(
    database_url: str,
    temporal_address: str,
    home: Path,
    *,
    world: World | None = None,
    policy: ProcessPolicy = QUICK,
    pace: Pace = PACE,
    rates: Rates | None = None,
    **worker: Any,
) -> AsyncIterator[System]:
    """A DOMS of the test's own. ``worker`` goes to the orders' worker."""
    world = world or make_world(items=60)
    temporal = await namespace(temporal_address)
    database = Database(database_url)
    doms = Doms(temporal, database)
    version = Policy(version=f"test/{uuid.uuid4().hex[:8]}")
    await save_policy(database, version, policy)
    await activate_policy(database, version.version)
    app = make_app(Inbox(doms, PARTNER_KEY), doms)
    async with serving(app) as api_url:
        config = SandboxConfig(
            api_url=api_url,
            partner_key=PARTNER_KEY,
            database=home / "partners.sqlite",
            pace=pace,
            rates=rates or Rates(),
        )
        async with running(config) as sandbox_url:
            await load_world(database, world, sandbox_url, "test/world")
            async with working(temporal, database_url, PARTNER_KEY, **worker):
                yield System(doms, database, temporal, sandbox_url, api_url, config.database, world)
    await database.close()
