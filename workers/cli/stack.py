"""Start, stop and look at the embedded stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.settings import Settings
from workers.cli.output import Answer, table

if TYPE_CHECKING:
    from workers.stack import StackAddresses, StackState

#: What programs may see of the addresses: the database's and the partners' secrets stay in the home.
_PUBLIC = {"home", "temporal_address", "temporal_ui_url", "api_url", "sandbox_url", "already_running"}


def up(*, workers: int = 2) -> Answer:
    """Start Postgres, Temporal with its Web UI, the sandbox partners, the API and the workers in the background.

    ```
    doms up                 # everything, two workers
    doms up --workers 4
    ```

    Args:
        workers: Number of worker processes.
    """
    from workers.stack import up as start

    addresses = start(Settings(), workers=workers)
    return Answer(addresses.model_dump(mode="json", include=_PUBLIC), text=_reached(addresses))


def down() -> Answer:
    """Stop the stack. Its data stays, and the next `doms up` goes on where it stopped."""
    from workers.stack import down as stop

    stopped = stop(Settings())
    return Answer({"stopped": stopped}, text="the stack is down" if stopped else "nothing was running")


def status() -> Answer:
    """What runs, since how many starts, and where it is reached."""
    from workers.stack import status as read

    state = read(Settings())
    return Answer(_facts(state), show=lambda: _components(state))


def _reached(addresses: StackAddresses) -> str:
    first = "the stack was running already" if addresses.already_running else "the stack is up"
    lines = [first, f"  console      {addresses.api_url}", f"  API          {addresses.api_url}/docs"]
    if addresses.temporal_ui_url:
        lines.append(f"  Temporal UI  {addresses.temporal_ui_url}")
    return "\n".join([*lines, f"  data, logs   {addresses.home}"])


def _facts(state: StackState) -> dict[str, Any]:
    alive = state.alive()
    return {
        "phase": state.phase,
        "addresses": state.addresses.model_dump(mode="json", include=_PUBLIC) if state.addresses else None,
        "components": {
            name: {"alive": name in alive, "ready": part.ready, "starts": part.starts, "address": part.address}
            for name, part in state.components.items()
        },
        "failure": str(state.failure) if state.failure else None,
    }


def _components(state: StackState) -> Any:
    alive = state.alive()
    rows = [
        (name, "done" if part.one_shot and part.ready else "runs" if name in alive else "stopped", part.starts,
         part.pid if name in alive else "", part.address or "", part.log)
        for name, part in state.components.items()
    ]  # fmt: skip
    return table(f"stack: {state.phase}", ("component", "state", "starts#", "pid#", "address", "log"), rows)
