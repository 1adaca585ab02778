"""Units that are there but cannot be sold: release them to stock, or write them off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts import App

from workers.cli.output import Answer
from workers.cli.staff import Actor
from workers.connect import doms_client

if TYPE_CHECKING:
    from shared.database.quarantine import Disposal

app = App(name="quarantine", help=__doc__)


@app.command
async def release(node: str, sku: str, quantity: int, *, reference: str, actor: Actor = "staff") -> Answer:
    """Put quarantined units on hand, for the orders that wait first.

    ```
    doms stock quarantine release wh-columbus TRN-1001 2 --reference inspection-17
    ```

    Args:
        node: Where they lie.
        sku: The item.
        quantity: Units.
        reference: The inspection; the same one of the same item counts once.
    """
    from shared.supply_client import release_quarantine

    disposal = _disposal(node, sku, quantity, reference)
    async with doms_client() as doms:
        orders = await release_quarantine(doms, disposal, actor=actor)
    text = f"{quantity} of {sku} at {node} released; {orders} waiting order(s) served"
    return Answer(disposal.model_dump() | {"orders_served": orders}, text=text)


@app.command(name="write-off")
async def write_off(node: str, sku: str, quantity: int, *, reference: str, actor: Actor = "staff") -> Answer:
    """Write quarantined units off: they are gone.

    ```
    doms stock quarantine write-off wh-columbus TRN-1001 3 --reference scrap-4
    ```

    Args:
        node: Where they lie.
        sku: The item.
        quantity: Units.
        reference: The decision; the same one of the same item counts once.
    """
    from shared.supply_client import write_off_quarantine

    disposal = _disposal(node, sku, quantity, reference)
    async with doms_client() as doms:
        done = await write_off_quarantine(doms, disposal, actor=actor)
    text = f"{quantity} of {sku} at {node} written off" if done else f"{reference} was booked before"
    return Answer(disposal.model_dump() | {"done": done}, text=text)


def _disposal(node: str, sku: str, quantity: int, reference: str) -> Disposal:
    from pydantic import ValidationError

    from shared.database.quarantine import Disposal
    from shared.errors import InvalidInput
    from shared.intake.supply import faults_of

    try:
        return Disposal(node_id=node, sku=sku, quantity=quantity, reference=reference)
    except ValidationError as error:
        raise InvalidInput(faults_of(error)) from None
