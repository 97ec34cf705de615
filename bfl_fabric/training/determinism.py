"""Makes torch a function of its arguments: seeds, one thread, deterministic kernels.

Decides how a seed is derived and which process-wide switches a computation runs under. What this gives is equal
bits for equal (data, base model, seed) on one kind of processor with one version of torch; another processor may
round differently, which is why no rule of the ledger depends on repeating someone else's training.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from bfl_chaincode.api import canonical

_PROCESS_STATE = threading.RLock()
"""Random state and thread counts belong to the process, so one deterministic computation runs at a time."""


def seed_of(purpose: str, *parts: int | str) -> int:
    """Return 63 bits of SHA-256 over the canonical JSON list [purpose, parts…]."""
    return int(canonical.digest([purpose, *parts])[:16], 16) >> 1


@contextmanager
def deterministic(seed: int) -> Iterator[torch.Generator]:
    """Run the block alone in this process with seeded random states, on one thread, and put everything back.

    Yields a generator of its own for batch order. Dropout and random augmentation draw from the process-wide
    states of torch, numpy and `random`, which are seeded too.
    """
    with _PROCESS_STATE, _saved_switches(), torch.random.fork_rng(devices=[]):
        # not torch.manual_seed: it would queue work for every accelerator that torch was built with
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.set_num_threads(1)
        # the same switch as torch.use_deterministic_algorithms, which would import the compiler for seconds
        torch.set_deterministic_debug_mode("error")
        # off by default; the one switch that cannot be put back, as torch does not tell what it was
        torch.set_flush_denormal(False)
        yield torch.Generator().manual_seed(seed)


@contextmanager
def _saved_switches() -> Iterator[None]:
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(mode)
        random.setstate(python_state)
        np.random.set_state(numpy_state)
