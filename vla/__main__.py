"""`python -m vla` is the same as `vla`."""

from __future__ import annotations

import sys

from vla.commands import main

if __name__ == "__main__":
    sys.exit(main())
