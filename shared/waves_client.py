"""Waves: run one now."""

from __future__ import annotations

from temporalio.client import Client
from temporalio.exceptions import WorkflowAlreadyStartedError

from shared.client import reachable
from shared.contracts import PLANNING_QUEUE, WAVE_TIMEOUT
from shared.domain.waves.results import WaveSummary
from shared.errors import Conflict
from shared.messages import wave_workflow_id
from shared.messages.waves import WaveInput


async def run_wave(temporal: Client, request: WaveInput) -> WaveSummary:
    """Run a wave on the planning queue and wait for what comes of it.

    Raises:
        Conflict: one of this channel runs already.
        Unavailable: no worker of the queue came to its end in time.
    """
    with reachable():
        try:
            done: WaveSummary = await temporal.execute_workflow(
                "Wave",
                request,
                id=wave_workflow_id(request.channel),
                task_queue=PLANNING_QUEUE,
                execution_timeout=WAVE_TIMEOUT,
                result_type=WaveSummary,
                static_summary=f"orders of {request.channel} planned again together",
            )
        except WorkflowAlreadyStartedError as error:
            message = f"a wave of {request.channel} runs already; see `doms waves list`"
            raise Conflict(message, channel=request.channel) from error
    return done
