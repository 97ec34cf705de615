"""Loaded by a nursery, this keeps it busy for longer than any test waits."""

from __future__ import annotations

import time

time.sleep(600)
