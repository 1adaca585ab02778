"""One worker process: the place where servers, gateways, activities and workflows are put together."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, Worker

from activities.alerts import Alerts
from activities.carts import Carts
from activities.comparisons import Comparisons
from activities.feeds import Feeds
from activities.fulfillment import Fulfillment
from activities.orders import Orders
from activities.payments import Payments
from activities.publishing import Publishing
from activities.quotes import Quotes
from activities.reconciliation import Reconciliation
from activities.returns import Returns
from activities.risks import Risks
from activities.transfers import Transfers
from shared.client import Doms
from shared.contracts import BATCH_QUEUE, CHANNELS_QUEUE, ORDERS_QUEUE
from shared.database import network
from shared.database.engine import Database
from shared.gateways.directory import Gateways
from shared.gateways.feeds.sftp import SftpLogin, SftpLogins
from shared.order_processes import OrderProcesses
from shared.publishing_client import Followers
from shared.quotes_client import Quoting
from shared.return_processes import ReturnProcesses
from shared.settings import Settings
from shared.telemetry import set_up_logs
from workers.connect import temporal_client
from workers.interceptors import Errors
from workers.runner import PlainPayloadRunner
from workflows.registry import CHANNEL_WORKFLOWS, ORDER_WORKFLOWS, SCHEDULED_WORKFLOWS

#: Activities of one process at a time. They wait for others most of the time; the pool bounds what they do to Postgres.
_ACTIVITIES = 100
_PATIENCE = 60.0
#: Seconds between two looks at the directory of partners.
_DIRECTORY_LASTS = 2.0
log = structlog.get_logger("worker")


async def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then finish what was begun and stop."""
    partner_key, logins = settings.partner_key.get_secret_value(), sftp_logins(settings)
    await until_stopped(settings, lambda temporal: working(temporal, settings.database_url, partner_key, logins))


async def until_stopped(settings: Settings, work: Callable[[Client], AbstractAsyncContextManager[Database]]) -> None:
    """Be the worker that ``work`` makes, from its start until a signal."""
    set_up_logs(log_format=settings.log_format, level=settings.log_level)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    temporal = await temporal_client(settings, program="worker", patience=_PATIENCE)
    async with work(temporal):
        _say_ready()
        await stop.wait()


@asynccontextmanager
async def working(
    temporal: Client, database_url: str, partner_key: str, logins: SftpLogins | None = None, /, **options: Any
) -> AsyncIterator[Database]:
    """Workers for every queue, for the length of the block. ``options`` go to the orders' worker."""
    database = Database(database_url)
    async with Gateways({}, partner_key) as gateways:
        await _read_directory(database, gateways)
        reading = asyncio.create_task(_keep_directory(database, gateways))
        try:
            async with (
                aclosing(Orders(database, Doms(temporal, database))) as orders,
                orders_worker(temporal, database, gateways, orders, **options),
                batch_worker(temporal, database, gateways, logins or {}),
                channels_worker(temporal, database, gateways),
            ):
                yield database
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await database.close()


async def _keep_directory(database: Database, gateways: Gateways) -> None:
    """A partner that is added or moves is known to every worker within seconds."""
    while True:
        await asyncio.sleep(_DIRECTORY_LASTS)
        try:
            await _read_directory(database, gateways)
        except (DBAPIError, PoolTimeout) as error:
            log.warning("partners not read again", error=type(error).__name__)


async def _read_directory(database: Database, gateways: Gateways) -> None:
    async with database.reading() as connection:
        await gateways.update(await network.read_partners(connection))


def orders_worker(temporal: Client, database: Database, gateways: Gateways, orders: Orders, **options: Any) -> Worker:
    """Orders and returns, and the activities that serve them on the same queue, so that they start eagerly."""
    settings: dict[str, Any] = {
        "max_concurrent_activities": _ACTIVITIES,
        "max_concurrent_local_activities": _ACTIVITIES,
        "max_cached_workflows": 2000,
        "workflow_task_poller_behavior": PollerBehaviorAutoscaling(),
        "activity_task_poller_behavior": PollerBehaviorAutoscaling(),
        "sticky_queue_schedule_to_start_timeout": timedelta(seconds=2),
        "graceful_shutdown_timeout": timedelta(seconds=20),
        "workflow_runner": PlainPayloadRunner(),
        **options,
    }
    doms = Doms(temporal, database)
    served = (
        orders,
        Payments(database, gateways),
        Fulfillment(database, gateways, doms),
        Returns(database, gateways, doms),
    )
    return Worker(
        temporal,
        task_queue=ORDERS_QUEUE,
        workflows=ORDER_WORKFLOWS,
        activities=[method for service in served for method in activity_methods(service)],
        interceptors=[Errors()],
        **settings,
    )


def batch_worker(temporal: Client, database: Database, gateways: Gateways, logins: SftpLogins) -> Worker:
    """What runs on a schedule and must not stand in the way of orders."""
    doms = Doms(temporal, database)
    kinds = (OrderProcesses(temporal, database), ReturnProcesses(temporal, database))
    comparisons = Comparisons(database, gateways, kinds, doms)
    feeds = Feeds(database, doms, logins)
    stock = (Alerts(database, doms), Carts(doms), feeds)
    quotes = Quotes(database, Quoting(database, gateways))
    served = (
        Reconciliation(database, doms),
        comparisons,
        *stock,
        Risks(database),
        quotes,
        Transfers(database, gateways),
    )
    return Worker(
        temporal,
        task_queue=BATCH_QUEUE,
        workflows=SCHEDULED_WORKFLOWS,
        activities=[method for service in served for method in activity_methods(service)],
        interceptors=[Errors()],
        max_concurrent_activities=4,
        graceful_shutdown_timeout=timedelta(seconds=20),
    )


def sftp_logins(settings: Settings) -> SftpLogins:
    """Who we are at the SFTP servers of sources."""
    passwords, keys = settings.sftp_passwords, settings.sftp_keys
    sources = sorted(passwords.keys() | keys.keys())
    return {each: SftpLogin(password=passwords.get(each), key_file=keys.get(each)) for each in sources}


def channels_worker(temporal: Client, database: Database, gateways: Gateways) -> Worker:
    """What follows channels: an activity each, which waits most of the time."""
    return Worker(
        temporal,
        task_queue=CHANNELS_QUEUE,
        workflows=CHANNEL_WORKFLOWS,
        activities=activity_methods(Publishing(database, gateways, Followers(temporal))),
        interceptors=[Errors()],
        max_concurrent_activities=_ACTIVITIES,
        graceful_shutdown_timeout=timedelta(seconds=1),
    )


def activity_methods(service: object) -> list[Callable[..., Any]]:
    """The bound activities of a service."""
    methods = inspect.getmembers(service, inspect.ismethod)
    return [method for _, method in methods if hasattr(method, "__temporal_activity_definition")]


def _say_ready() -> None:
    ready = os.environ.get("DOMS_READY_FILE")
    if ready:
        Path(ready).touch()
