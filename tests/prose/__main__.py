"""Lint README.md and docs/, or the pages that are named."""

import sys
from pathlib import Path

from tests.prose import PAGES, prose_faults

faults = prose_faults([Path(name) for name in sys.argv[1:]] or PAGES)
sys.stdout.write(faults)
sys.exit(1 if faults else 0)
