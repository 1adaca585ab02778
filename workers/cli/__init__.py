"""``doms``: the command line for people and programs. Each command group is a module, imported when it is used."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code."""
    import sys

    from workers.cli.app import run

    sys.exit(run(sys.argv[1:]))


__all__ = ["main"]
