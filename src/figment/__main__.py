"""The command line: `figment VERB ...`, or `python -m figment VERB ...`."""

from __future__ import annotations

import sys

from figment.cli._main import main

if __name__ == "__main__":
    sys.exit(main())
