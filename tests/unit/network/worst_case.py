"""Loaded by a nursery, this draws from every source of randomness before anything is forked, as no module should."""

from __future__ import annotations

import random
import secrets
import tempfile
import uuid

import grpc
import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec, x25519

DRAWN = (
    random.random(),
    secrets.token_hex(),
    uuid.uuid4(),
    tempfile.mktemp(),
    np.random.random(),
    np.random.default_rng().random(),
    ec.generate_private_key(ec.SECP256R1()),
    x25519.X25519PrivateKey.generate(),
    grpc.__version__,
)
