"""What each workflow asks of Temporal, in the order it is written: a fingerprint of its commands.

A running order replays its history against today's code. Code that asks for other commands, or in another
order, breaks it, so a change of the fingerprint must be deliberate: gated by ``workflow.patched`` for orders
that are running, replayed against the stored histories, and then written down with

    python -m tests.replay.fingerprints --write
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
STORED = Path(__file__).with_name("fingerprints.json")

#: Calls that put a command into the history, or decide which comes next.
_COMMANDS = frozenset(
    [
        *("step", "call", "long_call", "execute_activity", "execute_activity_method"),
        *("execute_local_activity", "execute_local_activity_method", "start_activity_method"),
        *("execute_child_workflow", "start_child_workflow", "sleep", "wait_condition"),
        *("upsert_search_attributes", "upsert_memo", "continue_as_new", "patched", "deprecate_patch"),
        *("uuid4", "random", "now", "create_task", "gather", "shield"),
    ]
)
#: What marks a method as something the world calls by name.
_HANDLERS = frozenset(["defn", "run", "init", "signal", "update", "query", "validator"])


def fingerprints(folder: Path = ROOT / "workflows") -> dict[str, str]:
    """The fingerprint of every function in the workflow package that asks for a command, by module and name."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for scope, function in _functions(tree):
            asked = [*_decorators(function), *_calls(function)]
            if asked:
                digest = hashlib.sha256("\n".join(asked).encode()).hexdigest()[:12]
                found[f"{path.stem}.{scope}{function.name}"] = f"{digest} {' '.join(_short(asked))}"
    return found


def _functions(tree: ast.Module) -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    found: list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(("", node))
        elif isinstance(node, ast.ClassDef):
            methods = (m for m in node.body if isinstance(m, ast.FunctionDef | ast.AsyncFunctionDef))
            found += [(f"{node.name}.", method) for method in methods]
    return found


def _decorators(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [
        f"@{ast.unparse(decorator)}"
        for decorator in function.decorator_list
        if _HANDLERS & {node.attr for node in ast.walk(decorator) if isinstance(node, ast.Attribute)}
    ]


def _calls(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Each call that becomes a command, with the activity it names, in source order."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and _name(node) in _COMMANDS]
    calls.sort(key=lambda node: (node.lineno, node.col_offset))
    return [f"{_name(node)}({ast.unparse(node.args[0]) if _names_activity(node) else ''})" for node in calls]


def _name(call: ast.Call) -> str:
    target = call.func
    return target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")


def _names_activity(call: ast.Call) -> bool:
    return bool(call.args) and ast.unparse(call.args[0]).partition(".")[0].endswith("Activities")


def _short(asked: list[str]) -> list[str]:
    return [entry.replace("Activities.", ".") for entry in asked]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="accept today's fingerprints")
    if parser.parse_args().write:
        STORED.write_text(json.dumps(fingerprints(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
