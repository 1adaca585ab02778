"""Stock as its sources tell it: a file's run, a look into a partner's directory, and a look at how old figures are."""

from __future__ import annotations

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from shared.contracts import FeedActivities
    from shared.messages.feeds import (
        FeedPollInput,
        FeedRun,
        FeedRunInput,
        FeedWatchInput,
        FeedWatchResult,
        FetchedFile,
        FetchedFiles,
        feed_workflow_id,
    )
    from workflows.kit import long_call


@workflow.defn(name="FeedRun")
class FeedRunWorkflow:
    """Applies one file. How far it came is in the database, so a worker that dies costs only its last chunk."""

    def __init__(self) -> None:
        self._progress: FeedRun | None = None

    @workflow.query
    def progress(self) -> FeedRun | None:
        """How far the run has come; nothing before the file is read."""
        return self._progress

    @workflow.run
    async def run(self, request: FeedRunInput) -> FeedRun:
        """Read the file, bring positions to its figures a few seconds at a time, and end."""
        run = self._tell(await long_call(FeedActivities.stage, request, "read the file, find its items"))
        while run.status == "staged" and run.done < run.staged:
            run = self._tell(await long_call(FeedActivities.apply, request, "bring positions to the figures"))
        if run.status == "refused":
            return run
        return self._tell(await long_call(FeedActivities.finish, request, "end the run, wake waiting orders"))

    def _tell(self, run: FeedRun) -> FeedRun:
        self._progress = run
        workflow.set_current_details(str(run))
        return run


@workflow.defn(name="FeedPoll")
class FeedPollWorkflow:
    """Takes in the whole files of a source's directory, the oldest first, and puts them away when they are applied."""

    @workflow.run
    async def run(self, request: FeedPollInput) -> FetchedFiles:
        """Fetch, run and put away; a file that somebody else is running is put away at a later look."""
        fetched = await long_call(FeedActivities.fetch, request, "take in what is whole")
        for file in fetched.files:
            if file.run.over or await self._is_run(file):
                await long_call(FeedActivities.put_away, file, f"put away {file.name}"[:200])
        return fetched

    async def _is_run(self, file: FetchedFile) -> bool:
        try:
            await workflow.execute_child_workflow(
                FeedRunWorkflow.run,
                FeedRunInput(source_id=file.source_id, run_id=file.run.run_id),
                id=feed_workflow_id(file.source_id, file.run.run_id),
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            )
        except WorkflowAlreadyStartedError:
            return False
        return True


@workflow.defn(name="FeedWatch")
class FeedWatchWorkflow:
    """Holds back stock whose figures are too old."""

    @workflow.run
    async def run(self, request: FeedWatchInput) -> FeedWatchResult:
        """Look at every node a source speaks for."""
        result = await long_call(FeedActivities.check_freshness, request, "hold back stock of old figures")
        workflow.set_current_details(f"{result.states}; {result.rebuffered} positions changed")
        return result
