"""A merchant's own cost terms, brought by packages that are installed beside DOMS.

A criterion says what it is worth not to send a unit of an item from a node to a customer. A package names its
criteria in the entry point group ``doms.criteria``, a policy those that it weighs. They are asked once for each item
at each node of a plan, before the search, and are the same for every unit: so plans stay exact. They are code, as the
planner is: the same arguments must always get the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from shared.domain.network import Node
from shared.domain.plugins import NoPlugin, plugin
from shared.domain.sourcing.models import Policy, SourcingOrder, Stock
from shared.domain.sourcing.weights import Weights

GROUP = "doms.criteria"
#: What a criterion may add to a unit, in minor units.
MOST_MINOR = 10**9

Held = dict[str, dict[str, Stock]]


class CriterionFailed(Exception):
    """A criterion is not there, or does not answer as it has to; the message names it and says why."""


class Criterion(Protocol):
    """What a package registers: minor units that one unit of the item from the node adds, whole and never negative.

    The order is what still needs a source, as the planner sees it. Nothing else may be looked at: no clock, no
    network, nothing that was seen before.
    """

    def __call__(self, order: SourcingOrder, node: Node, sku: str, /) -> int: ...


class Installed(NamedTuple):
    """A criterion; ``version`` is its package with the package's version."""

    name: str
    version: str
    criterion: Criterion

    def minor(self, order: SourcingOrder, node: Node, sku: str) -> int:
        """What a unit of the item from the node adds.

        Raises:
            CriterionFailed: it raised, or gave something else than whole minor units within bounds.
        """
        asked = f"criterion {self.name} of {self.version}, asked about {sku} at {node.node_id} for {order.order_id},"
        try:
            answer: object = self.criterion(order, node, sku)
        except Exception as error:  # whatever a package raises is told, with the criterion's name
            raise CriterionFailed(f"{asked} raised {type(error).__name__}: {error}") from error
        if type(answer) is not int or not 0 <= answer <= MOST_MINOR:
            raise CriterionFailed(f"{asked} gave {answer!r}: it must be whole minor units from 0 to {MOST_MINOR}")
        return answer


def criterion(name: str) -> Installed:
    """The criterion of this name.

    Raises:
        CriterionFailed: no package brings it, several do, or it cannot be loaded.
    """
    if name in Weights.model_fields:
        raise CriterionFailed(f"{name} is a cost term of the planner's own: a criterion needs another name")
    try:
        return Installed(*plugin(GROUP, name))
    except NoPlugin as error:
        raise CriterionFailed(str(error)) from error


def valued(held: Held, order: SourcingOrder, nodes: Sequence[Node], names: Iterable[str]) -> Held:
    """Stock by node and SKU, with what these criteria add to a unit.

    Raises:
        CriterionFailed: one of them is not there or does not answer as it has to.
    """
    asked = [criterion(name) for name in sorted(names)]
    return {
        node.node_id: {
            sku: row.model_copy(update={"criteria": {one.name: one.minor(order, node, sku) for one in asked}})
            for sku, row in held[node.node_id].items()
        }
        for node in nodes
    }


def named_in(policy: Policy) -> set[str]:
    """The criteria that the policy weighs, in any of its stages."""
    weighing = [policy.weights, *(stage.weights for stage in policy.stages if stage.weights is not None)]
    return {name for weights in weighing for name in weights.criteria}


def versions(policy: Policy) -> dict[str, str]:
    """Which package, in which version, brings each criterion of the policy."""
    return {name: criterion(name).version for name in sorted(named_in(policy))}
