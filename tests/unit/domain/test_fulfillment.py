"""The stages of a fulfillment order, every stage with every message."""

from __future__ import annotations

from itertools import permutations, product

import pytest

from shared.domain.fulfillment import REVOCABLE, Happened, Stage, advance

_RANK = {stage: rank for rank, stage in enumerate(Stage)}


@pytest.mark.parametrize(("stage", "happened"), list(product(Stage, Happened)))
def test_a_message_never_leads_back_and_twice_is_once(stage: Stage, happened: Happened) -> None:
    after = advance(stage, happened)
    assert _RANK[after] >= _RANK[stage]
    assert advance(after, happened) is after


@pytest.mark.parametrize("happened", Happened)
def test_what_is_over_stays_over(happened: Happened) -> None:
    assert advance(Stage.DONE, happened) is Stage.DONE


def test_only_what_has_not_left_can_be_refused() -> None:
    refused = {stage for stage in Stage if advance(stage, Happened.REJECTED) is not stage}
    assert refused == REVOCABLE - {Stage.PLANNED}, "a node cannot refuse what it was not told of"


@pytest.mark.parametrize("messages", list(permutations([Happened.PACKED, Happened.SHIPPED, Happened.PACKED])))
def test_a_ship_confirm_wins_in_any_order(messages: tuple[Happened, ...]) -> None:
    stage = Stage.REQUESTED
    for message in messages:
        stage = advance(stage, message)
    assert stage is Stage.SHIPPED
