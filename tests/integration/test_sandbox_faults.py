"""Faults between us and a partner: whatever is lost on the way, the sandbox's log holds one effect."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from shared.errors import GatewayError, PartnerUnavailable
from shared.gateways.guard import Limits
from tests.support.outside import authorize, outside
from tests.support.partners import label_for
from workers.sandbox.log import read_requests

DONE = ["drop_response", "truncate", "error500_after_effect", "html", "slow"]
NOT_DONE = ["down", "throttle", "blackhole"]
PATIENCE = Limits(deadline=0.5, failures=1000)


@pytest.mark.parametrize("mode", DONE)
async def test_a_lost_answer_is_found_and_the_effect_is_one(tmp_path: Path, mode: str) -> None:
    async with outside(tmp_path, limits=PATIENCE) as world:
        provider = world.gateways.payments()
        await world.fault("payments", mode)
        with pytest.raises(PartnerUnavailable):
            await provider.authorize(authorize())
        await world.fault("payments", "ok")
        found = await provider.find("web/1/authorize/1")
        assert found is not None
        assert await provider.authorize(authorize()) == found
        assert world.effects() == ["payment.authorized"]


@pytest.mark.parametrize("mode", NOT_DONE)
async def test_what_never_arrived_is_not_found(tmp_path: Path, mode: str) -> None:
    async with outside(tmp_path, limits=PATIENCE) as world:
        carrier = world.gateways.carrier("parcelpost")
        await world.fault("parcelpost", mode, ', "retry_after": "7"')
        with pytest.raises(PartnerUnavailable) as failed:
            await carrier.buy_label(label_for("f1/p1"))
        assert failed.value.retry_after == (None if mode == "blackhole" else 7)
        await world.fault("parcelpost", "ok")
        assert await carrier.find_label("f1/p1") is None
        assert world.effects() == []


async def test_under_mixed_faults_every_effect_is_one(tmp_path: Path) -> None:
    async with outside(tmp_path, limits=PATIENCE) as world:
        for partner, mode in (("payments", "drop_response"), ("parcelpost", "error500_after_effect")):
            await world.fault(partner, mode, ', "rate": 0.5, "seed": 3')
        provider, carrier = world.gateways.payments(), world.gateways.carrier("parcelpost")
        for n in range(1, 21):
            await until_done(partial(provider.authorize, authorize(n)))
            await until_done(partial(carrier.buy_label, label_for(f"f{n}/p1")))
        assert len(read_requests(world.database)) > 50, "there were faults"
        assert Counter(world.effects()) == {"payment.authorized": 20, "label.bought": 20}


async def test_a_dead_partner_leaves_the_others_alone(tmp_path: Path) -> None:
    limits = Limits(deadline=0.3, in_flight=4, failures=4, pause=30)
    async with outside(tmp_path, limits=limits) as world:
        await world.fault("parcelpost", "blackhole")
        dead, alive = world.gateways.carrier("parcelpost"), world.gateways.carrier("swiftship")
        for attempt in range(3):
            lost = asyncio.gather(
                *(dead.buy_label(label_for(f"{attempt}-{n}")) for n in range(20)), return_exceptions=True
            )
            for n in range(5):
                await alive.buy_label(label_for(f"{attempt}-{n}", carrier="swiftship"))
            assert all(isinstance(result, PartnerUnavailable) for result in await lost)
        assert len(world.effects("label.bought")) == 15
        assert len(read_requests(world.database, partner="parcelpost")) == 0


async def until_done(call: Callable[[], Awaitable[object]]) -> None:
    for _ in range(50):
        try:
            await call()
        except GatewayError:
            continue
        return
