"""The supervisor as a program of its own: ``python -m workers.stack PLAN``."""

import sys

from workers.stack.supervisor import main

sys.exit(main())
