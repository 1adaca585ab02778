"""What Temporal keeps of us: small, and unreadable without the key."""

from __future__ import annotations

import base64
import os
import uuid
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from shared.codec import Codec, data_converter, read_keys
from shared.messages import OrderInput
from tests.support.stack import short_home
from workers.stack.temporal import temporal_running

CANARY = "canary-7f3a91"


def key(size: int = 32) -> str:
    return base64.b64encode(os.urandom(size)).decode()


async def test_every_payload_comes_back_as_it_was() -> None:
    codec = Codec(read_keys(f"a:{key()}"))
    payloads = [Payload(metadata={"encoding": b"json/plain"}, data=b"x" * n) for n in (0, 10, 1023, 1024, 200_000)]
    assert await codec.decode(await codec.encode(payloads)) == payloads


async def test_large_payloads_are_compressed_and_small_ones_are_not() -> None:
    codec = Codec({})
    small, large = Payload(data=b"x" * 100), Payload(data=b"x" * 100_000)
    kept_small, kept_large = await codec.encode([small, large])
    assert kept_small == small
    assert kept_large.ByteSize() < 1_000


async def test_an_old_key_still_decodes_and_a_lost_one_says_so() -> None:
    old, new = f"old:{key()}", f"new:{key()}"
    sealed = await Codec(read_keys(old)).encode([Payload(data=b"secret")])
    assert (await Codec(read_keys(f"{new},{old}")).decode(sealed))[0].data == b"secret"
    with pytest.raises(ValueError, match="no key 'old'"):
        await Codec(read_keys(new)).decode(sealed)


@pytest.mark.parametrize("text", ["nokey", ":YWJj", f"a:{base64.b64encode(b'short').decode()}", "a:not base64"])
def test_a_key_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64|DOMS_PAYLOAD_KEYS"):
        read_keys(text)


@workflow.defn(name="Leaky", sandboxed=False)
class LeakyWorkflow:
    """Says the canary wherever text can be said."""

    @workflow.run
    async def run(self, text: str) -> str:
        workflow.set_current_details(text)
        raise ApplicationError(f"failed with {text}", text, type="leak", non_retryable=True)


async def test_nothing_readable_reaches_temporals_files() -> None:
    with short_home() as home, temporal_running(home) as server:
        client = await Client.connect(server.address, data_converter=data_converter(f"a:{key()}"))
        queue = f"q-{uuid.uuid4()}"
        async with Worker(client, task_queue=queue, workflows=[LeakyWorkflow]):
            with pytest.raises(WorkflowFailureError) as failed:
                await client.execute_workflow(
                    "Leaky", CANARY, id="leaky", task_queue=queue, static_summary=CANARY, memo={"note": CANARY}
                )
        assert CANARY in str(failed.value.cause), "whoever has the key can read it"
        kept = _files(home)
        assert b"Leaky" in kept, "these are the server's files"
        assert CANARY.encode() not in kept


def _files(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file() and "temporal.db" in path.name)


async def test_pydantic_models_survive_the_converter() -> None:
    converter = data_converter(f"a:{key()}")
    given = OrderInput.model_validate(
        {
            "order_id": "web/1",
            "channel": "web",
            "lines": 1,
            "units": 2,
            "total_minor": 3,
            "currency": "USD",
            "received_at": "2026-11-20T10:00:00Z",
        }
    )
    payloads = await converter.encode([given])
    assert await converter.decode(payloads, [OrderInput]) == [given]
