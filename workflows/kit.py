"""What every process here needs around its story: how it takes a step, and how it finishes one when cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from shared.contracts import (
        CALL_RETRY,
        CALL_TIMEOUT,
        LONG_CALL_BEAT,
        LONG_CALL_TIMEOUT,
        STEP_RETRY,
        STEP_TIMEOUT,
    )

A = TypeVar("A")
T = TypeVar("T")

#: An activity as ``shared.contracts`` declares it, not yet bound to what implements it.
Signature = Callable[[Any, A], Coroutine[Any, Any, T]]


async def step(activity: Signature[A, T], request: A, summary: str | None = None) -> T:
    """A short step in our own database: a local activity, one transaction under its own key."""
    return await workflow.execute_local_activity_method(
        activity,
        request,
        start_to_close_timeout=STEP_TIMEOUT,
        retry_policy=STEP_RETRY,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary,
    )


async def call(activity: Signature[A, T], request: A, summary: str) -> T:
    """One call to an outside party. It may take effect although we stop waiting, so a cancelled process waits."""
    return await workflow.execute_activity_method(
        activity,
        request,
        start_to_close_timeout=CALL_TIMEOUT,
        retry_policy=CALL_RETRY,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary,
    )


async def long_call(activity: Signature[A, T], request: A, summary: str) -> T:
    """As ``call``, for an activity that makes many calls and beats between them."""
    return await workflow.execute_activity_method(
        activity,
        request,
        start_to_close_timeout=LONG_CALL_TIMEOUT,
        heartbeat_timeout=LONG_CALL_BEAT,
        retry_policy=CALL_RETRY,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary,
    )


async def to_the_end(story: Coroutine[Any, Any, T], abandon: Callable[[], Coroutine[Any, Any, None]]) -> T:
    """Live a process's story. When the operator cancels the workflow it is told to ``abandon`` and goes on to its end.

    No step is ever cut short: one that was would leave unknown what it did.
    """
    task = asyncio.create_task(story)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await uncancellable(_wind_up(task, abandon))
        raise


async def _wind_up(story: asyncio.Task[Any], abandon: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await abandon()
    await story


async def uncancellable(work: Coroutine[Any, Any, T]) -> T:
    """Finish ``work`` even if the workflow is cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except BaseException:  # its own failure: raised by result() below
            break
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result


def refusal(code: str, message: str) -> ApplicationError:
    """What a validator raises: the caller gets the code and the sentence, the history gets nothing."""
    return ApplicationError(message, type=code, non_retryable=True)
