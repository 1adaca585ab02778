"""``python -m workers.cli``, for when ``doms`` is not on the path."""

from workers.cli import main

main()
