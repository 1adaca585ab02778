"""The whole system in one process for a test: real Postgres, Temporal and HTTP; the sandbox plays the partners."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from shared.client import Doms
from shared.codec import data_converter
from shared.database import policies
from shared.database.engine import Database
from shared.database.stock import Move
from shared.domain.orders import Address, OrderDocument, OrderLine, PaymentMethod, ServiceLevel, UnitState
from shared.domain.partners import PartnerEndpoint, PartnerKind
from shared.domain.policy import ProcessPolicy
from shared.domain.sourcing.models import Policy
from shared.domain.sourcing.stages import Stage
from shared.gateways.directory import Gateways
from shared.gateways.partner_messages import PartnerMessage
from shared.gateways.protocol import CancelRequest
from shared.gateways.signing import secret_for, sign
from shared.messages import OrderOutcome, OrderState, order_id_of, order_workflow_id
from tests.support.histories import keep_new_shapes, replay_everything
from tests.support.opening import open_for_a_while
from tests.support.partners import PARTNER_KEY, serving
from workers.api.app import Inbox, make_app
from workers.bootstrap import register_search_attributes
from workers.demo.load import load_world, set_free_stock
from workers.demo.world import StockRow, World, make_world
from workers.main import working
from workers.sandbox.app import running
from workers.sandbox.config import Pace, Rates, SandboxConfig
from workers.sandbox.log import Effect, read_effects

#: Names a folder: histories of shapes it does not hold yet are stored there when a system ends.
RECORD = "DOMS_RECORD_HISTORIES"
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


#: ``DOMS_TEST_CACHE=0`` has every workflow task replay its whole history: what is not deterministic shows.
_CACHE = {"max_cached_workflows": int(os.environ["DOMS_TEST_CACHE"])} if "DOMS_TEST_CACHE" in os.environ else {}


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

    @asynccontextmanager
    async def policy(self, *stages: Stage, **changes: Any) -> AsyncIterator[None]:
        """Orders placed in the block are sourced by these stages and live under a process policy with these changes."""
        doms = self.doms
        before = await self.value("SELECT version FROM policy_version WHERE active")
        version = Policy(version=f"test/{uuid.uuid4().hex[:8]}", stages=stages)
        async with self.database.transaction() as connection:
            await policies.begin(connection, version, QUICK.model_copy(update=changes), "test")
        self.doms = Doms(self.temporal, self.database)  # the old one remembers the old policy for a moment
        try:
            yield
        finally:
            async with self.database.transaction() as connection:
                await policies.switch(connection, before, "test")
            self.doms = doms

    async def arrives(self, sku: str, node_id: str, units: int) -> int:
        """Book units in at a node; returns the number of orders that were woken."""
        move = Move(node_id=node_id, sku=sku, cause="receive", on_hand=units, reference=f"asn/{uuid.uuid4().hex}")
        return await self.doms.receive_stock([move])

    @staticmethod
    def id_of(document: OrderDocument) -> str:
        return order_id_of(document.channel, document.channel_order_id)

    async def place(self, document: OrderDocument) -> str:
        """Submit an order and remember it."""
        verdict = await self.doms.submit(document)
        self._placed.append(verdict.order_id)
        return verdict.order_id

    def handle(self, order_id: str) -> WorkflowHandle[Any, OrderOutcome]:
        return self.temporal.get_workflow_handle(order_workflow_id(order_id), result_type=OrderOutcome)

    async def state(self, order_id: str) -> OrderState:
        state: OrderState = await self.handle(order_id).query("state", result_type=OrderState)
        return state

    async def finished(self, order_id: str, *, within: float = 120.0) -> OrderOutcome:
        """The order's outcome, once it is over."""
        async with asyncio.timeout(within):
            return await self.handle(order_id).result()

    async def until(self, met: Callable[[], Awaitable[object]], *, within: float = 60.0) -> None:
        """Wait for a condition on the facts."""
        async with asyncio.timeout(within):
            while not await met():
                await asyncio.sleep(0.05)

    async def stage(self, order_id: str, n: int, *stages: str, within: float = 60.0) -> None:
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
        async with httpx.AsyncClient() as http:
            answer = await http.post(f"{self.sandbox_url}/control/behaviour", json={**whom, "behaviour": behaviour})
            assert answer.is_success, answer.text

    async def fault(self, partner: str, mode: str, **options: Any) -> None:
        async with httpx.AsyncClient() as http:
            answer = await http.post(
                f"{self.sandbox_url}/control/faults", json={"partner": partner, "mode": mode, **options}
            )
            assert answer.is_success, answer.text

    async def until_state(self, order_id: str, met: Callable[[OrderState], object]) -> OrderState:
        """Wait for a condition on what the order's process remembers."""
        last = OrderState()

        async def now() -> object:
            nonlocal last
            last = await self.state(order_id)
            return met(last)

        await self.until(now)
        return last

    async def free(self, sku: str) -> dict[str, int]:
        """Unreserved units by node, those with none left out."""
        rows = await self.rows("SELECT node_id, free FROM stock_position WHERE sku = :s", s=sku)
        return {row.node_id: row.free for row in rows if row.free}

    def effects(self, order_id: str = "") -> list[Effect]:
        """What the partners really did, by their own log."""
        return [e for e in read_effects(self.log) if order_id in e.reference or order_id in e.business_key]

    def did(self, order_id: str) -> Counter[str]:
        """How often the partners did what for an order."""
        return Counter(effect.effect for effect in self.effects(order_id))

    async def until_did(self, order_id: str, effect: str, *, times: int = 1) -> None:
        """Wait until the partners have done something for an order."""

        async def met() -> bool:
            return self.did(order_id)[effect] >= times

        await self.until(met)

    async def tell(self, partner_id: str, message: PartnerMessage, *, key: str = PARTNER_KEY) -> int:
        """Send DOMS a message as a partner would, signed; returns the status of the answer."""
        body = message.model_dump_json().encode()
        return (await self.post(partner_id, message.message_id, body, key=key)).status_code

    async def post(self, partner_id: str, message_id: str, body: bytes, *, key: str = PARTNER_KEY) -> httpx.Response:
        """Send DOMS signed bytes."""
        headers = sign(secret_for(key, partner_id), message_id, datetime.now(UTC), body)
        async with httpx.AsyncClient() as http:
            url = f"{self.api_url}/v1/partners/{partner_id}/messages"
            return await http.post(url, content=body, headers=headers | {"content-type": "application/json"})

    async def forestall(self, node_id: str, reference: str) -> None:
        """Have a node cancel a reference it never heard of: it will refuse the request when it comes."""
        node = self.world.node(node_id)
        cancel = CancelRequest(reference=reference, node_id=node_id, node_type=node.node_type)
        endpoint = PartnerEndpoint(
            partner_id=node.partner_id,
            kind=PartnerKind.FULFILLMENT,
            base_url=f"{self.sandbox_url}/{node.partner_id}",
        )
        async with Gateways({node.partner_id: endpoint}, PARTNER_KEY) as gateways:
            assert (await gateways.fulfillment(node.partner_id).cancel(cancel)).accepted

    async def units(self, order_id: str) -> dict[int, dict[str, int]]:
        """Where the units of each line are, without the states that have none."""
        rows = await self.rows("SELECT * FROM order_line WHERE order_id = :o ORDER BY line_no", o=order_id)
        return {row.line_no: {s: getattr(row, s) for s in UnitState if getattr(row, s)} for row in rows}

    async def nodes(self, order_id: str) -> dict[int, str]:
        """The node of each fulfillment order."""
        rows = await self.rows("SELECT n, node_id FROM fulfillment_order WHERE order_id = :o ORDER BY n", o=order_id)
        return {row.n: row.node_id for row in rows}

    async def money(self, order_id: str) -> dict[str, int]:
        """The order's authorised, captured, voided and refunded minor units; the provider's own books must agree."""
        columns = "authorized_minor, captured_minor, voided_minor, refunded_minor"
        row = (await self.rows(f"SELECT {columns} FROM payment WHERE order_id = :o", o=order_id))[0]
        ours = {name.removesuffix("_minor"): amount for name, amount in row._mapping.items()}
        theirs = Counter[str]()
        for effect in self.effects(order_id):
            kind, _, what = effect.effect.partition(".")
            if kind == "payment" and what != "declined":
                theirs[what] += effect.amount or 0
        assert ours == {name: theirs[name] for name in ours}
        return ours

    async def events(self, order_id: str) -> list[str]:
        """The order's timeline."""
        rows = await self.rows("SELECT event FROM timeline WHERE order_id = :o ORDER BY event_id", o=order_id)
        return [row.event for row in rows]

    async def cases(self, order_id: str) -> list[str]:
        """The kinds of cases that were opened for the order."""
        rows = await self.rows("SELECT kind FROM exception_case WHERE order_id = :o ORDER BY case_id", o=order_id)
        return [row.kind for row in rows]

    async def ended(self, order_id: str, *, within: float = 120.0) -> OrderOutcome:
        """The order's outcome, with everything checked that must hold of any order that is over."""
        outcome = await self.finished(order_id, within=within)
        await self.settled(order_id)
        return outcome

    async def settled(self, order_id: str) -> None:
        """Check what must hold of an order that is over, whatever happened to it."""
        order = (await self.rows("SELECT closed_at, lifecycle FROM orders WHERE order_id = :o", o=order_id))[0]
        assert order.closed_at is not None
        assert order.lifecycle in ("closed", "cancelled")
        ending = {"delivered", "cancelled", "returned"}
        assert all(states.keys() <= ending for states in (await self.units(order_id)).values())
        assert not await self.rows("SELECT FROM reservation WHERE order_id = :o AND open > 0", o=order_id)
        assert not await self.rows("SELECT FROM hold WHERE order_id = :o AND released_at IS NULL", o=order_id)
        assert not await self.rows("SELECT FROM fulfillment_order WHERE order_id = :o AND ended_at IS NULL", o=order_id)
        once = Counter((e.partner, e.effect, e.business_key, e.reference) for e in self.effects(order_id))
        assert set(once.values()) <= {1}, once
        await self.stock_adds_up()
        money = await self.money(order_id)
        captures = await self.rows(
            "SELECT FROM payment_operation WHERE order_id = :o AND kind = 'capture' AND status = 'declined'", o=order_id
        )
        if not captures:
            assert money["authorized"] == money["captured"] + money["voided"]

    async def stock_adds_up(self) -> None:
        """Positions are the sums of their moves, and what is reserved is what is claimed."""
        assert not await self.rows("""
            SELECT p.node_id, p.sku FROM stock_position p
            LEFT JOIN (SELECT node_id, sku, sum(on_hand) AS on_hand, sum(reserved) AS reserved FROM stock_move
                       GROUP BY node_id, sku) m USING (node_id, sku)
            LEFT JOIN (SELECT node_id, sku, sum(open) AS open FROM reservation GROUP BY node_id, sku) r
                USING (node_id, sku)
            WHERE p.on_hand <> coalesce(m.on_hand, 0) OR p.reserved <> coalesce(m.reserved, 0)
               OR p.reserved <> coalesce(r.open, 0)
        """)


async def namespace(address: str) -> Client:
    """A client of a new namespace: its queues and workflows are this test's alone."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    root = await Client.connect(address)
    request = RegisterNamespaceRequest(namespace=name)
    request.workflow_execution_retention_period.FromTimedelta(timedelta(days=1))
    await root.workflow_service.register_namespace(request)
    client = await Client.connect(address, namespace=name, data_converter=data_converter())
    async with asyncio.timeout(60):
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
    world = open_for_a_while(world or make_world(items=60))
    temporal = await namespace(temporal_address)
    database = Database(database_url)
    doms = Doms(temporal, database)
    version = Policy(version=f"test/{uuid.uuid4().hex[:8]}")
    async with database.transaction() as connection:
        await policies.begin(connection, version, policy, "test")
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
            async with working(temporal, database_url, PARTNER_KEY, **_CACHE, **worker):
                yield System(doms, database, temporal, sandbox_url, api_url, config.database, world)
    await database.close()
    await replay_everything(temporal)
    if os.environ.get(RECORD):
        await keep_new_shapes(temporal, Path(os.environ[RECORD]))
