"""The embedded stack: Postgres, Temporal, sandbox partners, API and workers on one machine, under one supervisor."""

from workers.stack.control import down, running_stack, status, up
from workers.stack.process import StackError
from workers.stack.state import Phase, StackAddresses, StackPlan, StackState

__all__ = ["Phase", "StackAddresses", "StackError", "StackPlan", "StackState", "down", "running_stack", "status", "up"]
