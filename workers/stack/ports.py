"""Free TCP ports on the loopback interface.

A preferred port is taken when it is free, so that addresses stay the ones people know. Otherwise the choice is random,
below the range the kernel hands to outgoing connections: a component that is restarted must find its port free again.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Container

LOOPBACK = "127.0.0.1"
_LOWEST, _HIGHEST = 20_000, 32_000
_TRIES = 200


def choose_port(preferred: int | None = None, *, taken: Container[int] = ()) -> int:
    """Return a port nobody listens on, ``preferred`` when possible, never one of ``taken``."""
    if preferred is not None and preferred not in taken and is_free(preferred):
        return preferred
    for candidate in random.SystemRandom().sample(range(_LOWEST, _HIGHEST), _TRIES):
        if candidate not in taken and is_free(candidate):
            return candidate
    raise OSError(f"no free port found between {_LOWEST} and {_HIGHEST}")


def is_free(port: int) -> bool:
    """Try to bind as servers do, so that a port with only closing connections counts as free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def accepts(port: int, *, host: str = LOOPBACK) -> bool:
    """Say whether something accepts connections on the port."""
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False
