"""What every sandbox partner works with: the log, the agenda, chance, and a way to tell DOMS."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime

from shared.domain.base import Model
from shared.gateways.signing import token_for
from workers.sandbox.agenda import Agenda
from workers.sandbox.chance import draw
from workers.sandbox.config import Behaviour, SandboxConfig
from workers.sandbox.messenger import Messenger
from workers.sandbox.store import Action, Store


class Refused(Exception):
    """The partner says no; the request's status and machine-readable code."""

    def __init__(self, code: str, status: int = 422) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


class Call(Model):
    """A request under way at a partner. ``reference`` is its idempotency key."""

    partner: str
    reference: str
    body_hash: str = ""


class World:
    """One sandbox, all partners of it."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.store = Store(config.database)
        self._partner_key = config.partner_key.get_secret_value()
        self.agenda = Agenda(self.store, self._post)
        self.messenger = self._messenger() if config.api_url else None
        self.overrides = dict(config.behaviours) | self._stored_overrides()
        self._tokens: dict[str, str] = {}

    def token(self, partner: str) -> str:
        """The bearer token DOMS must show this partner."""
        if partner not in self._tokens:
            self._tokens[partner] = token_for(self._partner_key, partner)
        return self._tokens[partner]

    def effect(self, call: Call, effect: str, business_key: str, *, amount: int | None = None) -> None:
        """Write down that a partner did something. The log is only ever added to."""
        self.store.insert(
            "INSERT INTO effect (partner, effect, business_key, reference, amount, at, body_hash)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            call.partner,
            effect,
            business_key,
            call.reference,
            amount,
            time.time(),
            call.body_hash,
        )

    def later(self, delay: float, name: str, partner: str, reference: str, payload: str = "") -> None:
        """Have a handler called after a delay, varied by the pace's jitter."""
        swing = self.config.pace.jitter * (2 * draw(self.config.seed, f"jitter/{name}", reference) - 1)
        self.agenda.add(delay * (1 + swing), name, partner, reference, payload)

    def tell(self, partner: str, message_id: str, message: Model, *, delay: float = 0.0) -> None:
        """Send DOMS a message, signed by the partner, until it is taken."""
        if self.messenger is not None:
            self.agenda.add(delay, "post", partner, message_id, message.model_dump_json())

    def override(self, name: str, behaviour: Behaviour | None) -> None:
        """Have a node, or whatever lies under a reference, always behave so; ``None`` lifts it."""
        self.store.execute("DELETE FROM setting WHERE kind = 'behaviour' AND name = ?", name)
        self.overrides.pop(name, None)
        if behaviour is not None:
            self.store.execute("INSERT INTO setting VALUES ('behaviour', ?, ?)", name, behaviour)
            self.overrides[name] = behaviour

    def now(self) -> datetime:
        return datetime.now(UTC)

    def _messenger(self) -> Messenger:
        return Messenger(
            self.config.api_url,
            self._partner_key,
            durable=self.store.commit,
            settled=self._settled,
            postponed=self.agenda.postpone,
        )

    def _post(self, action: Action) -> None:
        if self.messenger is not None:
            self.messenger.submit(action)

    def _settled(self, action: Action, taken: bool) -> None:
        body_hash = hashlib.sha256(action.payload.encode()).hexdigest()
        call = Call(partner=action.partner, reference=action.reference, body_hash=body_hash)
        self.effect(call, "message.sent" if taken else "message.refused", action.reference)
        self.agenda.done(action)

    def _stored_overrides(self) -> dict[str, Behaviour]:
        rows = self.store.all("SELECT name, value FROM setting WHERE kind = 'behaviour'")
        return {row["name"]: Behaviour(row["value"]) for row in rows}
