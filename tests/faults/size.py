"""How much of the campaign is run: a little with all tests, much with GCL_FAULTS=large."""

from __future__ import annotations

import os

LARGE = os.environ.get("GCL_FAULTS") == "large"
