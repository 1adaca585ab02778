"""How ``doms`` is called, what it answers, and with which exit code, without any server."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio.service import RPCError, RPCStatusCode

from shared.domain.orders import OrderDocument, Verdict
from shared.domain.sourcing.criteria import CriterionFailed
from shared.domain.story import TimelineEvent
from shared.errors import (
    Conflict,
    DomsError,
    Fault,
    InvalidInput,
    NotAllowed,
    NotFound,
    PartnerRefused,
    PartnerUnavailable,
    Unavailable,
)
from shared.messages import CancelOrder, CommandOutcome
from workers.cli import app, orders, output
from workers.cli.app import run
from workers.cli.failures import as_doms_error, exit_code, put_error

ORDER = {
    "channel": "webshop",
    "channel_order_id": "1",
    "placed_at": "2026-01-05T10:00:00Z",
    "currency": "USD",
    "ship_to": {"name": "Jane Doe", "line1": "1 Main St", "city": "New York", "region": "NY", "postal_code": "10001"},
    "lines": [{"line_no": 1, "sku": "TOY-1", "quantity": 1, "unit_price_minor": 100}],
    "payment": {"token": "tok_ok"},
}


class FakeDoms:
    """Answers as the client would."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, Any]] = []
        self.outcome = CommandOutcome(done=True, units=1, message="1 units cancelled")

    async def cancel(self, order_id: str, command: CancelOrder) -> CommandOutcome:
        self.commands.append((order_id, command))
        return self.outcome

    async def submit(self, document: OrderDocument) -> Verdict:
        if document.channel_order_id == "2":
            raise Conflict("webshop/2 was placed before with other content", order_id="webshop/2")
        return Verdict(order_id=f"webshop/{document.channel_order_id}", promised_at=datetime(2026, 1, 9, tzinfo=UTC))

    async def watch(self, order_id: str) -> AsyncIterator[TimelineEvent]:
        for number, event in enumerate(("placed", "sourced"), start=1):
            at = datetime(2026, 1, 5, 10, number, tzinfo=UTC)
            yield TimelineEvent(event_id=number, at=at, actor="doms", event=event, detail={"n": number})


@pytest.fixture
def doms(monkeypatch: pytest.MonkeyPatch) -> FakeDoms:
    fake = FakeDoms()

    @asynccontextmanager
    async def client() -> AsyncIterator[FakeDoms]:
        yield fake

    monkeypatch.setattr(orders, "doms_client", client)
    return fake


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No stack and no settings."""
    for name in ("DOMS_DATABASE_URL", "DOMS_TEMPORAL_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOMS_HOME", str(tmp_path))


@pytest.mark.parametrize("name", [name for _, name, _, _ in app._COMMANDS])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert f"doms {name}" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    import subprocess

    script = (
        "import sys; from workers.cli.app import run; run(['--help']); "
        "sys.exit(', '.join({'sqlalchemy', 'temporalio', 'fastapi', 'numpy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["up", "--wrkers", "3"],
        ["up", "--workers", "many"],
        ["orders", "show"],
        ["orders", "hold", "webshop/1", "--kind", "mood"],
        ["orders", "cancel", "webshop/1", "--line", "2"],
        ["orders", "cancel", "webshop/1", "--line", "0:1"],
        ["orders", "reroute", "webshop/1", "0"],
        ["orders", "cancel", "webshop/1", "--actor", "\u0000"],
        ["stock", "receive", "wh-columbus", "TOY-1", "0", "--reference", "PO-1"],
        ["returns", "request", "webshop/1"],
        ["simulate", "--policy", "cheapest", "--orders", "orders.json", "--since", "2026-01-01"],
        ["promise", "10001"],
        ["promise", "10001", "TOY-1:0"],
    ],
)
@pytest.mark.usefixtures("alone")
def test_bad_usage_is_code_2_and_an_object_for_programs(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert "error:" in capsys.readouterr().err
    assert run(["--json", *arguments]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"]["message"]
    assert shown.err == ""


@pytest.mark.parametrize("arguments", [["orders", "list"], ["migrate"], ["reconcile"], ["stock", "show", "TOY-1"]])
@pytest.mark.usefixtures("alone")
def test_without_a_stack_it_says_how_to_start_one(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 5
    assert "no stack is running: start one with `make up`" in capsys.readouterr().err


@pytest.mark.usefixtures("alone")
def test_down_without_a_stack_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["down", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"stopped": False}


def test_an_unreadable_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["orders", "submit", "/no/such/file"]) == 3
    assert "/no/such/file" in capsys.readouterr().err


def test_every_fault_of_an_order_is_shown_with_its_place(
    doms: FakeDoms, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = ORDER | {"currency": "EURO", "lines": [{"line_no": 1, "sku": "TOY-1", "quantity": 0}]}
    give(monkeypatch, json.dumps(bad))
    assert run(["orders", "submit", "-"]) == 2
    shown = capsys.readouterr().err
    assert "/currency:" in shown
    assert "/lines/0/quantity:" in shown
    give(monkeypatch, json.dumps(bad))
    assert run(["orders", "submit", "-", "--json"]) == 2
    faults = json.loads(capsys.readouterr().out)["error"]["faults"]
    assert {"/currency", "/lines/0/quantity"} <= {fault["pointer"] for fault in faults}


def give(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body.encode())))


def test_one_order_that_fails_does_not_stop_the_others(
    doms: FakeDoms, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "\n".join(json.dumps(ORDER | {"channel_order_id": str(n)}) for n in (1, 2, 3))
    give(monkeypatch, body)
    assert run(["orders", "submit", "-"]) == 4
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "webshop/1  accepted, promised 2026-01-09 00:00"
    assert lines[1].startswith("webshop/2  refused: ")
    give(monkeypatch, body)
    assert run(["--json", "orders", "submit", "-"]) == 4
    answered = json.loads(capsys.readouterr().out)
    assert [each["accepted"] for each in answered] == [True, False, True]


def test_a_command_names_its_account_lines_and_reason(
    doms: FakeDoms, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOMS_ACTOR", "agent-7")
    assert run(["orders", "cancel", "webshop/1", "--line", "1:2", "--line", "3:1", "--reason", "late"]) == 0
    ((order_id, command),) = doms.commands
    assert (order_id, command.actor, command.reason) == ("webshop/1", "agent-7", "late")
    assert [(line.line_no, line.quantity) for line in command.lines] == [(1, 2), (3, 1)]
    assert capsys.readouterr().out == "1 units cancelled\n"


def test_a_refused_command_is_code_4_and_says_why(doms: FakeDoms, capsys: pytest.CaptureFixture[str]) -> None:
    doms.outcome = CommandOutcome(done=False, message="0 units cancelled", refused=("2 units have left",))
    assert run(["orders", "cancel", "webshop/1"]) == 4
    assert "but: 2 units have left" in capsys.readouterr().out
    assert run(["orders", "cancel", "webshop/1", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["refused"] == ["2 units have left"]


def test_watching_prints_events_as_they_come(doms: FakeDoms, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["orders", "watch", "webshop/1"]) == 0
    assert [line.split()[3] for line in capsys.readouterr().out.splitlines()] == ["placed", "sourced"]
    assert run(["orders", "watch", "webshop/1", "--json"]) == 0
    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()] == ["placed", "sourced"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput([Fault(pointer="", code="x", message="x")]), 2),
        (NotFound("x"), 3),
        (Conflict("x"), 4),
        (NotAllowed("x"), 4),
        (PartnerRefused("x"), 4),
        (PartnerUnavailable("x"), 5),
        (Unavailable("x"), 5),
        (DomsError("x"), 1),
    ],
)
def test_exit_codes(error: DomsError, code: int) -> None:
    assert exit_code(error) == code


def test_a_server_that_does_not_answer_is_not_a_bug_of_ours() -> None:
    assert isinstance(as_doms_error(RPCError("gone", RPCStatusCode.UNAVAILABLE, b"")), Unavailable)
    assert as_doms_error(RPCError("odd", RPCStatusCode.INTERNAL, b"")) is None
    assert isinstance(as_doms_error(CriterionFailed("carbon gave 1.5")), Conflict)
    assert as_doms_error(KeyError("bug")) is None


def test_a_bug_keeps_its_traceback(doms: FakeDoms, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> CommandOutcome:
        raise KeyError("bug")

    monkeypatch.setattr(doms, "cancel", broken)
    with pytest.raises(KeyError):
        run(["orders", "cancel", "webshop/1"])


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [(1990, "USD", "19.90 USD"), (5, "USD", "0.05 USD"), (-5, "USD", "-0.05 USD"), (1990, "JPY", "1990 JPY"),
     (None, "USD", ""), (7, "", "7")],
)  # fmt: skip
def test_money(minor: int | None, currency: str, shown: str) -> None:
    assert output.money(minor, currency) == shown


def test_tables_show_cells_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    output.put(output.table("t", ("name",), [("[bold]not markup[/bold]",)]))
    assert "[bold]not markup[/bold]" in capsys.readouterr().out


def test_a_reader_that_left_ends_it_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> Callable[[], None]:
        raise BrokenPipeError

    monkeypatch.setattr(app, "build", gone)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert run(["orders", "list"]) == 0


def test_without_rows_a_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    output.put(output.table("t", ("name", "units#"), ()))
    assert capsys.readouterr().out.split() == ["t", "none"]


def test_a_row_is_one_line_of_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    output.put(output.table("t", ("one", "other"), [("a " * 150, "b " * 150)]))
    assert len([line for line in capsys.readouterr().out.splitlines() if "b b" in line]) == 1


def test_a_fault_of_an_element_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--json", "promise", "10001", "TOY-1", "--method", "drone"]) == 2
    faults = json.loads(capsys.readouterr().out)["error"]["faults"]
    assert [fault["pointer"] for fault in faults] == ["/methods/0"]
    assert run(["--json", "carts", "hold", "webshop/c-1", "TOY-1", "--method", "pickup"]) == 2
    (fault,) = json.loads(capsys.readouterr().out)["error"]["faults"]
    assert fault["message"].startswith("pickup_node_id must be given")


@pytest.mark.parametrize("body", ['[{"name": "a"}, {"name": "b"}]', '[{"name": "a"}]', "[]"])
def test_a_policy_file_holds_one_policy(body: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "policy.json"
    file.write_text(body)
    assert run(["policy", "validate", str(file)]) == 2
    assert "order" not in capsys.readouterr().err


def test_threads_that_outlive_a_command_do_not_keep_it() -> None:
    import subprocess

    script = (
        "import threading, workers.cli.app as app\n"
        "def run(arguments):\n"
        "    threading.Thread(target=threading.Event().wait).start()\n"
        "    print('done')\n"
        "    return 4\n"
        "app.run = run\n"
        "__import__('workers.cli').cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stdout) == (4, "done\n"), done.stderr


def test_a_detail_that_the_message_tells_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    error = Conflict("webshop/1 lacks 3 of TOY-1", order_id="webshop/1", short={"TOY-1": 3}, since="noon")
    put_error(error, as_json=False)
    assert capsys.readouterr().err.splitlines() == ["error: webshop/1 lacks 3 of TOY-1", "  since: noon"]
    put_error(error, as_json=True)
    details = json.loads(capsys.readouterr().out)["error"]["details"]
    assert details == {"order_id": "webshop/1", "short": {"TOY-1": 3}, "since": "noon"}
