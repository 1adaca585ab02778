"""``doms``: the command line for people and programs. Each command group is a module, imported when it is used."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code."""
    import logging
    import os
    import sys
    from contextlib import suppress

    from workers.cli.app import run

    code = run(sys.argv[1:])
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        # Closed, or nobody reads any more.
        with suppress(OSError, ValueError):
            stream.flush()
    # The threads of Temporal's client outlive its connection: one that is busy while the interpreter is taken down
    # aborts the process, after all was done (sdk-python's issue 300). Nothing here needs to be taken down.
    os._exit(code)


__all__ = ["main"]
