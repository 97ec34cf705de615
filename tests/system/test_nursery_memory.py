"""The processes that a local federation's nodes are forked from never hold a key."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bfl_fabric.sdk.local import LocalFederation
from tests.system.federations import ENDOWMENT, Plan, prepared
from tests.unit.he.test_worker import memory_hits
from tests.unit.network.test_nursery import parent_of


def key_patterns(place: Path) -> list[bytes]:
    """Return what some private keys of a federation look like in a file and in memory, either way round."""
    paths = sorted(place.rglob("*key.pem"))
    assert len(paths) > 20
    found = []
    for path in paths[:: len(paths) // 3]:
        pem = path.read_bytes()
        key = load_pem_private_key(pem, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        number = key.private_numbers().private_value
        found += [pem.splitlines()[1], number.to_bytes(32, "big"), number.to_bytes(32, "little")]
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_no_nursery_of_a_running_federation_holds_a_key(tmp_path: Path) -> None:
    prepared(tmp_path, Plan(organizations=2, participants=4))
    with LocalFederation(tmp_path) as federation:
        federation.start_all()
        asyncio.run(federation.ledger_ready())
        asyncio.run(federation.found(ENDOWMENT))
        nurseries = {parent_of(process_id) for process_id in federation.process_ids().values()}
        assert len(nurseries) == 2
        assert os.getpid() not in nurseries
        patterns = key_patterns(tmp_path)
        assert len(patterns) >= 9
        assert [memory_hits(nursery, patterns) for nursery in nurseries] == [0, 0]
        # the scan does find keys where they are
        assert memory_hits(os.getpid(), patterns) == len(patterns)
