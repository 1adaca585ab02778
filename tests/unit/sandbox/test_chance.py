from __future__ import annotations

from collections import Counter

from workers.sandbox.carriers import scans
from workers.sandbox.chance import behaviour_for, draw, shorten
from workers.sandbox.config import Behaviour, Rates
from workers.sandbox.packing import Pick

RATES = Rates(reject=0.1, silent=0.05, late=0.05, short=0.2)


def behaviour(reference: str, overrides: dict[str, Behaviour] | None = None) -> Behaviour:
    return behaviour_for(7, RATES, overrides or {}, node="reno", reference=reference)


def test_draws_are_even_and_repeat() -> None:
    drawn = [draw(1, "x", str(i)) for i in range(2000)]
    assert drawn == [draw(1, "x", str(i)) for i in range(2000)]
    assert 0.45 < sum(drawn) / 2000 < 0.55
    assert drawn != [draw(2, "x", str(i)) for i in range(2000)]


def test_rates_are_met() -> None:
    seen = Counter(behaviour(f"web/{i}/f1") for i in range(5000))
    assert 0.07 < seen[Behaviour.REJECT] / 5000 < 0.13
    assert 0.17 < seen[Behaviour.SHORT] / 5000 < 0.23
    assert 0.55 < seen[Behaviour.ACCEPT] / 5000 < 0.65


def test_the_closest_override_wins() -> None:
    overrides = {"reno": Behaviour.REJECT, "web/1": Behaviour.SILENT, "web/1/f2": Behaviour.LATE}
    assert behaviour("web/1/f2", overrides) is Behaviour.LATE
    assert behaviour("web/1/f1", overrides) is Behaviour.SILENT
    assert behaviour("web/10/f1", overrides) is Behaviour.REJECT


def test_short_always_loses_something() -> None:
    for i in range(200):
        whole = [Pick(n, "S", 1 + n % 3, 100) for n in range(1, 6)]
        assert sum(p.quantity for p in shorten(1, f"r{i}", whole)) < sum(p.quantity for p in whole)
    assert shorten(1, "r", [Pick(1, "S", 1, 100)]) == []


def test_scans_end_with_delivery_made_last() -> None:
    for i in range(300):
        plan = scans(1, Rates(delivery_exception=0.3, scan_reorder=0.3, out_for_delivery=0.5), str(i))
        assert plan[-1].status == "delivered"
        assert [scan.made for scan in plan] == sorted(scan.made for scan in plan)
        assert all(scan.sent >= scan.made for scan in plan)
