"""How payloads look inside Temporal: pydantic JSON, compressed when large, encrypted when a key is set.

Failures are encoded too, messages and stack traces included. What stays readable whatever the key are ids,
names, error types and search attributes: no personal data goes there.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import zlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)

_ZLIB, _AES = b"binary/zlib", b"binary/encrypted"
#: Below this size compression costs more than it saves.
_WORTH_COMPRESSING = 1024
_NONCE = 12


class Codec(PayloadCodec):
    """Compress, then encrypt; decode whatever is found, by any key of the ring.

    Args:
        keys: AES keys of 16, 24 or 32 bytes by id; the first encrypts. Empty means no encryption.
    """

    def __init__(self, keys: dict[str, bytes]) -> None:
        self._ring = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = next(iter(keys), None)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._encrypt(_compress(payload)) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [_decompress(self._decrypt(payload)) for payload in payloads]

    def _encrypt(self, payload: Payload) -> Payload:
        if self._current is None:
            return payload
        nonce = os.urandom(_NONCE)
        sealed = self._ring[self._current].encrypt(nonce, payload.SerializeToString(), None)
        return Payload(metadata={"encoding": _AES, "key": self._current.encode()}, data=nonce + sealed)

    def _decrypt(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != _AES:
            return payload
        key_id = payload.metadata["key"].decode()
        if key_id not in self._ring:
            raise ValueError(f"no key {key_id!r} in DOMS_PAYLOAD_KEYS: keep old keys until their histories are gone")
        return Payload.FromString(self._ring[key_id].decrypt(payload.data[:_NONCE], payload.data[_NONCE:], None))


def _compress(payload: Payload) -> Payload:
    if len(payload.data) < _WORTH_COMPRESSING:
        return payload
    return Payload(metadata={"encoding": _ZLIB}, data=zlib.compress(payload.SerializeToString(), 6))


def _decompress(payload: Payload) -> Payload:
    if payload.metadata.get("encoding") != _ZLIB:
        return payload
    return Payload.FromString(zlib.decompress(payload.data))


def read_keys(text: str) -> dict[str, bytes]:
    """Read ``id:base64,id:base64``.

    Raises:
        ValueError: an entry is not of that form, or its key is not an AES key.
    """
    keys: dict[str, bytes] = {}
    for entry in filter(None, text.split(",")):
        key_id, _, encoded = entry.partition(":")
        key = base64.b64decode(encoded, validate=True)
        if not key_id or len(key) not in (16, 24, 32):
            raise ValueError("DOMS_PAYLOAD_KEYS wants id:base64 with keys of 16, 24 or 32 bytes")
        keys[key_id] = key
    return keys


def data_converter(keys: str = "") -> DataConverter:
    """The converter of every client, worker and replayer of DOMS."""
    return dataclasses.replace(
        pydantic_data_converter,
        payload_codec=Codec(read_keys(keys)),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
