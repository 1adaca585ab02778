"""A policy as a version: its content, its name by that content, and what sets two of them apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from shared.domain.base import Instant, Model
from shared.domain.policy import ProcessPolicy
from shared.domain.sourcing.models import Policy

#: Characters of the content hash that a version's name ends in.
_SHOWN = 8


class PolicyVersion(Model):
    """One policy version, kept or, like a preset, not yet kept.

    Attributes:
        created_at: ``None`` when it is not kept.
        orders: Open orders that live under it.
    """

    version: str
    content_hash: str
    created_at: Instant | None = None
    active: bool = False
    orders: int = 0
    sourcing: Policy
    process: ProcessPolicy


class Difference(Model):
    """One value in which two policies differ."""

    pointer: str
    one: Any
    other: Any


def content_hash(sourcing: Mapping[str, Any], process: Mapping[str, Any]) -> str:
    """SHA-256 of a policy's JSON, its own name left out."""
    content = {"sourcing": {k: v for k, v in sourcing.items() if k != "version"}, "process": dict(process)}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def named(name: str, sourcing: Policy, process: ProcessPolicy) -> PolicyVersion:
    """The version of this content under a name: the same content always gets the same version."""
    digest = content_hash(sourcing.model_dump(mode="json"), process.model_dump(mode="json"))
    version = f"{name}/{digest[:_SHOWN]}"
    renamed = sourcing.model_copy(update={"version": version})
    return PolicyVersion(version=version, content_hash=digest, sourcing=renamed, process=process)


def differences(one: PolicyVersion, other: PolicyVersion) -> tuple[Difference, ...]:
    """Every value that differs, by its JSON pointer; names do not count."""
    left, right = dict(_values(one)), dict(_values(other))
    return tuple(
        Difference(pointer=pointer, one=left.get(pointer), other=right.get(pointer))
        for pointer in sorted(left | right)
        if left.get(pointer) != right.get(pointer)
    )


def _values(policy: PolicyVersion) -> Iterator[tuple[str, Any]]:
    content = policy.model_dump(mode="json", include={"sourcing", "process"})
    del content["sourcing"]["version"]
    yield from _flat("", content)


def _flat(pointer: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        yield pointer, value
        return
    for name, each in value.items():
        yield from _flat(f"{pointer}/{name}", each)
