"""What every activity of every worker does around its own work."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from shared.errors import DomsError, PartnerUnavailable


class Errors(Interceptor):
    """Tell Temporal what an error of ours means: its code as the type, and whether a retry can help."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Errors(next)


class _Errors(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        try:
            return await self.next.execute_activity(input)
        except DomsError as error:
            raise as_failure(error) from error


def as_failure(error: DomsError) -> ApplicationError:
    """The failure Temporal records: the code as its type, the partner's own pace where it named one."""
    wait = getattr(error, "retry_after", None) if isinstance(error, PartnerUnavailable) else None
    return ApplicationError(
        str(error),
        type=error.code,
        non_retryable=not error.retryable,
        next_retry_delay=timedelta(seconds=wait) if wait else None,
        category=ApplicationErrorCategory.BENIGN if error.retryable else ApplicationErrorCategory.UNSPECIFIED,
    )
