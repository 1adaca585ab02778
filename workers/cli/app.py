"""The composition of ``doms``: which module answers which command, and what becomes of answers and errors."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, cast

from cyclopts import App, CycloptsError, Group, Parameter

from workers.cli.failures import USAGE, as_doms_error, exit_code, put_error
from workers.cli.output import Answer, put, put_json

_WORK = Group("Work", sort_key=1)
_STACK = Group("The stack", sort_key=2)
_PROGRAMS = Group("Programs of the stack", sort_key=3)

_AFTERWORD = (
    "A first walk: `doms up`, `doms demo`, `doms orders list`, `doms orders show CHANNEL/ID`. "
    "With `--json` every command answers in JSON, also when it fails. "
    "Exit codes: 0 done, 2 bad usage or input, 3 not found, 4 refused, 5 a server does not answer."
)
_COMMANDS = (
    (_WORK, "orders", "workers.cli.orders:app", "List, show, submit, watch, cancel, reroute, hold, merge orders."),
    (_WORK, "explain", "workers.cli.explain:explain", "Why an order ships from where it ships."),
    (_WORK, "promise", "workers.cli.promise:promise", "What a cart could be promised."),
    (_WORK, "carts", "workers.cli.carts:app", "Hold stock for carts: hold, list, show, extend, release."),
    (_WORK, "policy", "workers.cli.policy:app", "Show, check, keep, compare and switch sourcing policies."),
    (_WORK, "simulate", "workers.cli.simulate:simulate", "What other policies would have made of the same orders."),
    (_WORK, "locate", "workers.cli.locate:locate", "Where nodes would stand best for the orders that came."),
    (_WORK, "prices", "workers.cli.prices:app", "Show and work out what later orders lose by a unit less."),
    (_WORK, "waves", "workers.cli.waves:app", "Plan waiting orders again together, and move them: run, list, show."),
    (_WORK, "quotes", "workers.cli.quotes:app", "See what carriers quote, and until when."),
    (_WORK, "returns", "workers.cli.returns:app", "Request, list, show, approve, decline returns."),
    (_WORK, "stock", "workers.cli.stock:app", "Show stock and what channels may sell of it, receive stock."),
    (_WORK, "nodes", "workers.cli.nodes:app", "See how full the days of nodes are, switch nodes on and off."),
    (_WORK, "counts", "workers.cli.counts:app", "Plan and record cycle counts, see how right the records are."),
    (_WORK, "alerts", "workers.cli.alerts:app", "List, acknowledge, resolve alerts of stock levels."),
    (_WORK, "supply", "workers.cli.supply:app", "What is expected: tell, list, show, depart, slip, receive, cancel."),
    (_WORK, "feeds", "workers.cli.feeds:app", "What sources say of their stock: define, run, list, refusals."),
    (_WORK, "load", "workers.cli.load:load", "Load a merchant's tables from CSV files."),
    (_WORK, "cases", "workers.cli.cases:app", "What needs a person: list, show, resolve, restart."),
    (_WORK, "reconcile", "workers.cli.reconcile:reconcile", "Compare the facts with themselves, resume what stalled."),
    (_WORK, "demo", "workers.cli.demo:demo", "A retailer's day, live, with its summary."),
    (_WORK, "replay", "workers.cli.demo:replay", "Run a real retailer's invoices through the system."),
    (_STACK, "up", "workers.cli.stack:up", "Start everything in the background."),
    (_STACK, "down", "workers.cli.stack:down", "Stop everything; its data stays."),
    (_STACK, "status", "workers.cli.stack:status", "What runs, and where it is reached."),
    (_PROGRAMS, "migrate", "workers.cli.run:migrate", "Bring the schema and Temporal's attributes up to date."),
    (_PROGRAMS, "worker", "workers.cli.run:worker", "Run a worker."),
    (_PROGRAMS, "api", "workers.cli.run:api", "Serve the HTTP API and the console."),
    (_PROGRAMS, "sandbox", "workers.cli.run:sandbox", "Play the outside world: carriers, nodes, payments."),
)
_AS_JSON = "--json"


def build(called: str = "") -> App:
    """The command line. Only the module of the command that is ``called`` is imported, and shows its own help."""
    app = App(
        name="doms",
        help="A distributed order management system on Temporal and Postgres.",
        help_format="markdown",
        help_epilogue=None if called else _AFTERWORD,
        version=_version,
    )
    for group, name, path, summary in _COMMANDS:
        app.command(path, name=name, help=None if name == called else summary, group=group)

    @app.meta.default
    def launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        json: Annotated[bool, Parameter(negative="", help="Answer in JSON, for programs.")] = False,
    ) -> int:
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
        return asyncio.run(_put(command(*bound.args, **bound.kwargs), as_json=json))

    return app.meta


async def _put(answer: Any, *, as_json: bool) -> int:
    """Print what a command answers, a stream of answers as they come; returns the exit code."""
    code = 0
    async for each in _answers(answer):
        each.put(as_json=as_json)
        code = max(code, each.code)
    return code


async def _answers(answer: Any) -> AsyncIterator[Answer]:
    if inspect.isasyncgen(answer):
        async for each in cast("AsyncIterator[Answer]", answer):
            yield each
        return
    if inspect.iscoroutine(answer):
        answer = await answer
    if isinstance(answer, Answer):
        yield answer


def _version() -> str:
    from importlib.metadata import version

    return version("doms")


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code."""
    as_json = _AS_JSON in arguments
    called = next((argument for argument in arguments if not argument.startswith("-")), "")
    try:
        code = build(called)(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _misused(error, as_json=as_json)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has what it wanted (`doms orders list | head`); Python must not complain of it at exit.
        sys.stderr.close()
        return 0
    except Exception as error:
        known = as_doms_error(error)
        if known is None:
            raise
        put_error(known, as_json=as_json)
        return exit_code(known)
    return code if isinstance(code, int) else 0


def _misused(error: CycloptsError, *, as_json: bool) -> int:
    if as_json:
        put_json({"error": {"code": "usage", "message": str(error), "details": {}}})
    else:
        from rich.text import Text

        put(Text.assemble(("error: ", "bold red"), str(error)), error=True)
        put(Text("`--help` after any command explains it"), error=True)
    return USAGE
