"""What channels use to place orders and follow them, and staff to steer them.

One call, one answer: an order sent again gets the verdict it got before, and a call that could not be
answered says whether to send it again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from shared.contracts import CHANNEL, ORDER_ID, ORDERS_QUEUE, STATUS
from shared.database import asked_carts, availability, network, orders, returns, rises, story
from shared.database.availability import Availability, Changes
from shared.database.deliveries import read_delivery
from shared.database.engine import Database, is_unreachable
from shared.database.loads import Loaded
from shared.database.orders import OrderStart
from shared.database.stock import Move
from shared.database.story import OrderStory, OrderSummary, TimelineEvent
from shared.domain.bundles import stock_lines
from shared.domain.carts import Cart, Promise
from shared.domain.orders import OrderDocument, Verdict
from shared.domain.policy import ProcessPolicy
from shared.errors import Conflict, DomsError, InvalidInput, NotFound, Unavailable
from shared.intake import check_catalogue
from shared.loading import Tables, load
from shared.messages import (
    CancelOrder,
    Command,
    CommandOutcome,
    DecideReturn,
    PlaceHold,
    ReleaseHold,
    Reroute,
    ReturnInput,
    ReturnRequest,
    Wake,
    order_id_of,
    order_workflow_id,
    return_workflow_id,
)
from shared.places import locate, locate_postal
from shared.return_processes import start_return
from shared.wakes_client import give_overdue_back, tell, tell_waiting

if TYPE_CHECKING:
    from shared.quotes_client import Quoting

#: How long a channel waits for its verdict before it is told to send the order again.
VERDICT_TIMEOUT = timedelta(seconds=30)
#: How long a command waits for nodes to be asked.
COMMAND_TIMEOUT = timedelta(seconds=60)
_POLICY_LASTS = 1.0

T = TypeVar("T")


class Doms:
    """A client of a running DOMS. Safe to share between tasks.

    Raises:
        Unavailable: Temporal or Postgres does not answer; nothing is lost by sending the same again.
    """

    def __init__(self, temporal: Client, database: Database) -> None:
        self._temporal = temporal
        self.database = database
        self._policy: tuple[float, str, ProcessPolicy] | None = None

    # --- channels -----------------------------------------------------------------------------------------

    async def submit(self, document: OrderDocument) -> Verdict:
        """Place an order: kept, planned and reserved before this returns.

        Raises:
            InvalidInput: an item is unknown or priced in another currency; nothing was written.
            Conflict: the channel sent another order under this id before.
        """
        order_id = order_id_of(document.channel, document.channel_order_id)
        with reachable():
            start = await self._keep(order_id, document)
        if isinstance(start, Verdict):
            return start
        return await self._start(start)

    async def _keep(self, order_id: str, document: OrderDocument) -> OrderStart | Verdict:
        """Write the order down if it is new; an order on record answers with its verdict when it has one."""
        version, policy = await self._active_policy()
        async with self.database.transaction() as connection:
            items = await network.read_items(connection, sorted({line.sku for line in document.lines}))
            faults = check_catalogue(document, items)
            if faults:
                raise InvalidInput(faults)
            lines = stock_lines(document.lines, items)
            delivery = await read_delivery(connection, document, locate(document.ship_to))
            received_at = await orders.keep_order(
                connection, order_id, document, lines, delivery=delivery, policy_version=version
            )
            if received_at is None:
                return await self._known(connection, order_id, document)
        return OrderStart.of(order_id, document, lines, received_at, policy)

    async def _known(self, connection: Any, order_id: str, document: OrderDocument) -> OrderStart | Verdict:
        known = await orders.find_order(connection, order_id)
        assert known is not None, "an order that could not be inserted is on record"
        if known.content_hash != document.content_hash():
            raise Conflict(f"{order_id} was placed before with other content", order_id=order_id)
        return known.verdict or await orders.read_start(connection, order_id)

    async def _active_policy(self) -> tuple[str, ProcessPolicy]:
        now = time.monotonic()
        if self._policy is None or now - self._policy[0] > _POLICY_LASTS:
            async with self.database.reading() as connection:
                version, process = await orders.active_policy(connection)
            self._policy = (now, version, process)
        return self._policy[1], self._policy[2]

    async def _start(self, start: OrderStart) -> Verdict:
        """Start the order's process, or find it running, and wait for its verdict."""
        operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            "Order",
            start.input(),
            id=order_workflow_id(start.order_id),
            task_queue=ORDERS_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            priority=Priority(priority_key=start.priority),
            static_summary=start.summary(),
            search_attributes=_attributes(start),
        )
        with reachable():
            try:
                async with asyncio.timeout(VERDICT_TIMEOUT.total_seconds()):
                    verdict: Verdict = await self._temporal.execute_update_with_start_workflow(
                        "submit", start_workflow_operation=operation, id="submit", result_type=Verdict
                    )
                    return verdict
            except WorkflowAlreadyStartedError:
                return await self._verdict_on_record(start.order_id)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                return await self._verdict_on_record(start.order_id)

    async def _verdict_on_record(self, order_id: str) -> Verdict:
        async with self.database.reading() as connection:
            known = await orders.find_order(connection, order_id)
        if known is None or known.verdict is None:
            raise Unavailable(f"{order_id} has no verdict yet: send it again", order_id=order_id)
        return known.verdict

    async def resume_order(self, order_id: str) -> None:
        """Start the process of an order that is on record and has none."""
        async with self.database.reading() as connection:
            start = await orders.read_start(connection, order_id)
        await self._start(start)

    async def return_units(self, request: ReturnRequest) -> ReturnInput:
        """Ask to send delivered units back.

        Raises:
            NotFound: there is no such order.
            InvalidInput: more than was delivered and is not coming back already.
        """
        with reachable():
            async with self.database.transaction() as connection:
                opened = await returns.open_return(connection, request)
            await self.resume_return(opened)
        return opened

    async def resume_return(self, opened: ReturnInput) -> None:
        """Start a return's process unless it has one."""
        try:
            await start_return(self._temporal, opened, reuse=WorkflowIDReusePolicy.REJECT_DUPLICATE)
        except WorkflowAlreadyStartedError:
            return

    async def promise(self, cart: Cart, *, as_of: datetime | None = None, quoting: Quoting | None = None) -> Promise:
        """What an order of this cart would be promised now, by each method asked for. Nothing is reserved.

        Args:
            quoting: Asks carriers for a moment what they have not quoted yet; without it, what is on record is used.

        Raises:
            InvalidInput: an item is unknown, or the items are sold in different currencies.
        """
        from shared.domain.sourcing.promising import options_for  # loads numpy, which other calls do without

        as_of = as_of or datetime.now(UTC)
        ship_to = locate_postal(cart.country, cart.region, cart.postal_code, cart.city)
        with reachable():
            await give_overdue_back(self.database, self, [line.sku for line in cart.lines])
            async with self.database.reading() as connection:
                asked, policy, seen = await asked_carts.read_question(connection, cart, ship_to, as_of)
            if quoting is not None:
                seen = await quoting.freshened(asked.order(cart.channel, ship_to), seen, policy, asked.currency)
        options = options_for(cart.channel, ship_to, asked.lines, seen, policy, methods=cart.methods)
        return Promise(as_of=as_of, policy_version=policy.version, currency=asked.currency, options=options)

    # --- reading ------------------------------------------------------------------------------------------

    async def get(self, order_id: str) -> OrderStory:
        """The whole story of an order.

        Raises:
            NotFound: there is no such order.
        """
        with reachable():
            async with self.database.reading() as connection:
                return await story.tell(connection, order_id)

    async def list_orders(self, **filters: Any) -> list[OrderSummary]:
        """Orders, newest first; the filters are those of ``story.list_orders``."""
        with reachable():
            async with self.database.reading() as connection:
                return await story.list_orders(connection, **filters)

    async def availability(self, channel: str, skus: Sequence[str] | None = None) -> Availability:
        """How many units of items, or of every item, a channel may sell; an unknown item is told as such."""
        with reachable():
            async with self.database.reading() as connection:
                if skus is None:
                    return await availability.read_all(connection, channel)
                return await availability.read_availability(connection, channel, skus)

    async def availability_changes(self, channel: str, after_version: int, limit: int = 1000) -> Changes:
        """What changed since the version of an earlier answer, each item once, as it is now."""
        with reachable():
            async with self.database.reading() as connection:
                return await availability.read_changes(connection, channel, after_version, limit)

    async def watch(self, order_id: str, *, every: float = 0.5) -> AsyncIterator[TimelineEvent]:
        """The order's events, those that were and those to come, until it is over. ``every`` is in seconds.

        Raises:
            NotFound: there is no such order.
        """
        last = 0
        while True:
            with reachable():
                async with self.database.reading() as connection:
                    known = await orders.find_order(connection, order_id)
                    events = await story.events_after(connection, order_id, last)
            if known is None:
                raise NotFound(f"there is no order {order_id}", order_id=order_id)
            for event in events:
                last = event.event_id
                yield event
            if known.closed:
                return
            await asyncio.sleep(every)

    # --- staff --------------------------------------------------------------------------------------------

    async def cancel(self, order_id: str, command: CancelOrder) -> CommandOutcome:
        """Cancel an order or parts of it. See ``command`` for what is raised."""
        return await self.command(order_id, "cancel", command)

    async def reroute(self, order_id: str, command: Reroute) -> CommandOutcome:
        """Send one fulfillment order's units somewhere else."""
        return await self.command(order_id, "reroute", command)

    async def hold(self, order_id: str, command: PlaceHold) -> CommandOutcome:
        """Stop everything that no node was told of."""
        return await self.command(order_id, "hold", command)

    async def release(self, order_id: str, command: ReleaseHold) -> CommandOutcome:
        """Lift one hold."""
        return await self.command(order_id, "release", command)

    async def decide_return(self, return_id: str, command: DecideReturn) -> CommandOutcome:
        """Approve or decline a return that waits for staff."""
        return await self._update(return_workflow_id(return_id), "decide", command, return_id)

    async def command(self, order_id: str, name: str, command: Command) -> CommandOutcome:
        """Send a command to the order's process.

        Raises:
            NotFound: there is no such order, fulfillment order or hold.
            Conflict: the order's state does not allow it.
        """
        with reachable():
            async with self.database.reading() as connection:
                known = await orders.find_order(connection, order_id)
        if known is None:
            raise NotFound(f"there is no order {order_id}", order_id=order_id)
        return await self._update(order_workflow_id(order_id), name, command, order_id)

    async def _update(self, workflow_id: str, name: str, command: Command, subject: str) -> CommandOutcome:
        handle = self._temporal.get_workflow_handle(workflow_id)
        with reachable():
            try:
                async with asyncio.timeout(COMMAND_TIMEOUT.total_seconds()):
                    outcome: CommandOutcome = await handle.execute_update(name, command, result_type=CommandOutcome)
                    return outcome
            except WorkflowUpdateFailedError as error:
                raise _told(error) from error
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    raise Conflict(f"{subject} is over: nothing can be changed any more", subject=subject) from error
                raise

    # --- the world ----------------------------------------------------------------------------------------

    async def receive_stock(self, moves: Sequence[Move]) -> int:
        """Book stock that has arrived, keep it for the orders that wait, and wake them; returns how many were woken."""
        with reachable():
            await rises.book_arrival(self.database, moves, as_of=datetime.now(UTC))
            return await tell_waiting(self.database, self, {move.sku for move in moves})

    async def load(self, tables: Tables, *, actor: str = "staff", dry_run: bool = False) -> list[Loaded]:
        """Load a merchant's tables, CSV by kind, all rows or none, and wake the orders that wait for what arrived.

        Raises:
            InvalidInput: any row has a fault; nothing was written.
        """
        with reachable():
            loaded, waiting = await load(self.database, tables, actor=actor, dry_run=dry_run)
            await tell(self.database, self, waiting)
        return loaded

    async def wake(self, workflow_id: str, wake: Wake) -> bool:
        """Tell a process of a recorded fact; whether there is one that heard: one that is over needs no telling."""
        try:
            await self._temporal.get_workflow_handle(workflow_id).signal(wake.kind, wake)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False
        return True


def _attributes(start: OrderStart) -> TypedSearchAttributes:
    return TypedSearchAttributes(
        [
            SearchAttributePair(CHANNEL, start.channel),
            SearchAttributePair(ORDER_ID, start.order_id),
            SearchAttributePair(STATUS, "placed"),
        ]
    )


_BY_CODE: dict[str, type[DomsError]] = {"not_found": NotFound, "conflict": Conflict}


def _told(error: WorkflowUpdateFailedError) -> DomsError:
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return _BY_CODE.get(cause.type or "", Conflict)(cause.message)
    return Conflict(str(cause))


@contextmanager
def reachable() -> Iterator[None]:
    """Turn a server that does not answer into ``Unavailable``."""
    try:
        yield
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise Unavailable("no answer in time; send the same again") from error
    except RPCError as error:
        raise Unavailable(f"Temporal does not answer ({error.status.name}); send the same again") from error
    except WorkflowFailureError as error:
        raise Unavailable(f"the process failed: {error.cause}") from error
    except Exception as error:
        if is_unreachable(error):
            raise Unavailable("Postgres does not answer; send the same again") from error
        raise
