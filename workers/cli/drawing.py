"""An order's story drawn for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from shared.domain.orders import Method, UnitCount, UnitState
from workers.cli.output import money, table, when
from workers.cli.rate_shops import rates_compared

if TYPE_CHECKING:
    from shared.domain.cartons import PlannedPackage
    from shared.domain.profit import Profit
    from shared.domain.sourcing.plans import Candidate, Plan
    from shared.domain.story import FulfillmentStory, OrderStory, TimelineEvent

#: Heads of what ``packed`` tells.
PACKED = ("carton", "units", "weight g#", "dim. weight g#", "billed g#", "freight#", "carton cost#")


def story(order: OrderStory) -> RenderableType:
    """The whole of it, the most asked first: where it stands and what it waits for."""
    return Group(*_parts(order))


def _parts(order: OrderStory) -> Iterator[RenderableType]:
    yield _head(order)
    lines = [(n.line_no, n.sku, n.name, _units(n.units), money(n.total_minor, order.currency)) for n in order.lines]
    yield table("lines", ("line#", "item", "name", "units", "total#"), lines)
    if order.bundles:
        yield _bundles(order)
    if order.fulfillments:
        yield _fulfillments(order)
        yield from _planned_packages(order)
        yield from _shared(order)
        yield from _parcels(order)
        yield from _rate_shops(order)
    if order.plan is not None:
        yield _plan(order.plan, order)
    yield _money(order)
    if order.profit is not None:
        yield _profit(order.profit, order.currency)
    if order.holds:
        holds = [(h.hold_id, h.kind, h.reason, h.placed_by, when(h.released_at) or "stands") for h in order.holds]
        yield table("holds", ("hold", "kind", "reason", "by", "released"), holds)
    if order.returns:
        returns = [(r.return_id, r.status, r.node_id, money(r.refund_minor, order.currency)) for r in order.returns]
        yield table("returns", ("return", "status", "to node", "refunded#"), returns)
    if order.cases:
        cases = [(when(c.opened_at), c.kind, c.reference, _detail(c.detail)) for c in order.cases]
        yield table("needs a person", ("since", "case", "about", "detail"), cases)
    events = [(f"{e.at:%m-%d %H:%M:%S}", e.actor, e.event, _detail(e.detail)) for e in order.timeline]
    yield table("timeline (UTC)", ("at", "by", "event", "detail"), events)


def _bundles(order: OrderStory) -> RenderableType:
    rows = []
    for bundle in order.bundles:
        parts = [line for line in order.lines if line.bundle_line_no == bundle.line_no]
        told = ", ".join(f"{line.units.ordered // bundle.quantity} {line.sku} (line {line.line_no})" for line in parts)
        total = money(bundle.total_minor, order.currency)
        rows.append((bundle.line_no, bundle.sku, bundle.name, bundle.quantity, told, total))
    return table("bundles", ("line#", "bundle", "name", "ordered#", "each is", "total#"), rows)


def _head(order: OrderStory) -> Text:
    held = " ON HOLD" if order.on_hold else ""
    text = Text.assemble((order.order_id, "bold"), f"  {order.fulfillment}{held}\n")
    text.append(f"lifecycle {order.lifecycle}, payment {order.payment}, return {order.returned}\n")
    to = order.ship_to
    text.append(f"to {to.name}, {to.city} {to.region} {to.postal_code} {to.country}, {order.service}\n")
    if order.method is not Method.SHIP:
        where = f", fetched at {order.pickup_node_id}" if order.pickup_node_id else ""
        text.append(f"by {order.method}{where}\n")
    text.append(f"placed {when(order.placed_at)}, promised {when(order.promised_at) or 'no date yet'}\n")
    for sentence in order.waits_for or ("nothing",):
        text.append(f"waits for {sentence}\n", "yellow" if order.waits_for else "green")
    return text


def _units(units: UnitCount) -> str:
    return ", ".join(f"{getattr(units, state)} {state}" for state in UnitState if getattr(units, state))


def _fulfillments(order: OrderStory) -> RenderableType:
    columns = ("n#", "node", "units#", "status", "request", "ship by", "deliver by", "by", "cost#", "why ended")
    rows = [
        (f.n, f.node_id, f.units, f.status, f.request_status, when(f.ship_by), when(f.deliver_by),
         f"{f.carrier} {f.service}", money(f.planned_minor, order.currency), f.reason)
        for f in order.fulfillments
    ]  # fmt: skip
    return table("fulfillment orders", columns, rows)


def _planned_packages(order: OrderStory) -> Iterator[RenderableType]:
    rows = [
        (f"f{f.n}", number, *packed(package, order.currency))
        for f in order.fulfillments
        for number, package in enumerate(f.planned_packages, start=1)
    ]
    if rows:
        yield table("planned packages", ("of", "package#", *PACKED), rows)


def packed(package: PlannedPackage, currency: str) -> tuple[object, ...]:
    """A package as ``PACKED`` heads it."""
    inside = ", ".join(f"{line.quantity} of line {line.line_no}" for line in package.lines)
    return (
        package.carton or "as it is",
        inside,
        package.weight_g,
        package.dim_weight_g,
        package.billable_g,
        money(package.price_minor, currency),
        money(package.cost_minor, currency),
    )


def _shared(order: OrderStory) -> Iterator[RenderableType]:
    rows = [
        (f.n, ", ".join(f.consolidation.mates), when(f.consolidation.sealed_at) or "may still leave")
        for f in order.fulfillments
        if f.consolidation is not None
    ]
    if rows:
        yield table("one parcel with", ("n#", "fulfillment orders", "label bought since"), rows)


def _parcels(order: OrderStory) -> Iterator[RenderableType]:
    rows = [row for f in order.fulfillments for row in _parcel_rows(f, order.currency)]
    if rows:
        yield table("parcels", ("of", "parcel#", "carrier", "tracking", "status", "label", "cost#"), rows)


def _parcel_rows(f: FulfillmentStory, currency: str) -> Iterator[tuple[object, ...]]:
    for p in f.packages:
        cost = money(p.label_cost_minor, currency)
        yield f"f{f.n}", p.package_no, p.carrier, p.tracking_no, p.tracking_status, p.label_status, cost


def _rate_shops(order: OrderStory) -> Iterator[RenderableType]:
    """Who sold each label; packages that share one tell it once."""
    shops = {p.rate_shop.reference: p.rate_shop for f in order.fulfillments for p in f.packages if p.rate_shop}
    if shops:
        yield rates_compared(shops.values())


def _plan(plan: Plan, order: OrderStory) -> RenderableType:
    cost = money(plan.total_minor, order.currency)
    other = f", best other way {money(plan.runner_up_minor, order.currency)}" if plan.runner_up_minor else ""
    proven = "proven cheapest" if plan.optimal else f"within {money(plan.gap_minor, order.currency)} of the cheapest"
    title = f"latest plan of {order.plans}: {cost}, {proven}{other}; policy {plan.policy_version}"
    rows = [
        ("ships" if c.chosen else "", c.node_id, c.fillable, _why(c, order.currency), when(c.deliver_by))
        for c in plan.candidates
    ]
    return table(title, ("", "node", "units it holds#", "alone it would cost, or why not", "deliver by"), rows)


def _why(candidate: Candidate, currency: str) -> str:
    if candidate.alone is not None:
        terms = {name: minor for name, minor in candidate.alone.model_dump().items() if minor}
        parts = ", ".join(f"{name} {money(minor)}" for name, minor in terms.items())
        return f"{money(candidate.alone.total, currency)} ({parts})"
    return str(candidate.because or "")


def _money(order: OrderStory) -> RenderableType:
    m = order.money
    title = (
        f"money: {money(order.total_minor, order.currency)} ordered, {money(m.authorized_minor)} authorised, "
        f"{money(m.captured_minor)} captured, {money(m.voided_minor)} voided, {money(m.refunded_minor)} refunded"
    )
    rows = [(when(o.intended_at), o.kind, money(o.amount_minor, order.currency), o.status, o.reason, o.reference)
            for o in order.operations]  # fmt: skip
    return table(title, ("at", "operation", "amount#", "answer", "reason", "reference"), rows)


def _profit(profit: Profit, currency: str) -> RenderableType:
    title = "profit" if profit.settled else "profit, as it is expected"
    columns = ("goods and shipping sold#", "refunded#", "goods#", "shipping#", "fees#", "profit#")
    amounts = (
        profit.revenue_minor,
        -profit.refunds_minor,
        -profit.goods_minor,
        -profit.shipping_minor,
        -profit.fees_minor,
        profit.profit_minor,
    )
    return table(title, columns, [tuple(money(amount, currency) for amount in amounts)])


def event_line(event: TimelineEvent) -> str:
    return f"{event.at:%Y-%m-%d %H:%M:%S}  {event.actor:<14} {event.event:<22} {_detail(event.detail)}".rstrip()


def _detail(detail: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in detail.items() if value not in ("", None, [], {}))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {each}" for name, each in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
