"""Loaded by a nursery, this starts a thread, as no module should."""

from __future__ import annotations

import threading
import time

threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
