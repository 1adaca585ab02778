"""A change of what workflows ask of Temporal must be deliberate."""

from __future__ import annotations

import json
from pathlib import Path

from tests.replay.fingerprints import ROOT, STORED, fingerprints

HELP = """
A workflow's commands changed. Orders that are running replay their history against this code.
 1. Gate the change: `if workflow.patched("what-changed"):` new way, else the old way.
 2. Replay the stored histories: `pytest tests/replay`. Record new ones beside them:
    `DOMS_RECORD_HISTORIES=tests/replay/histories pytest tests/acceptance`.
 3. Accept the change: `python -m tests.replay.fingerprints --write`, and say in the commit why it is safe.
"""


def test_commands_are_as_they_were_last_accepted() -> None:
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    now = fingerprints()
    changed = {name for name in stored.keys() | now.keys() if stored.get(name) != now.get(name)}
    lines = [f"{name}\n  was {stored.get(name)}\n  is  {now.get(name)}" for name in sorted(changed)]
    assert not changed, HELP + "\n".join(lines)


def test_a_changed_command_is_noticed(tmp_path: Path) -> None:
    source = (ROOT / "workflows" / "returns.py").read_text(encoding="utf-8")
    before = fingerprints(_folder(tmp_path / "a", source))
    edits = [
        ("ReturnActivities.settle", "ReturnActivities.announce"),
        ("await self._refund()", "await workflow.sleep(1)"),
        ('@workflow.update(name="decide")', '@workflow.update(name="decided")'),
    ]
    for n, (old, new) in enumerate(edits):
        assert old in source
        assert fingerprints(_folder(tmp_path / str(n), source.replace(old, new))) != before, f"{old} -> {new}"


def _folder(folder: Path, source: str) -> Path:
    folder.mkdir()
    (folder / "returns.py").write_text(source, encoding="utf-8")
    return folder
