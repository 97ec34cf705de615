"""Operations that concern orderers, and membership, on a network of four BFT orderers."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from bfl_fabric.network.operations.admission import add_organization
from bfl_fabric.network.operations.block_cutting import set_cutting
from bfl_fabric.network.operations.orderer_rotation import rotate_orderer
from bfl_fabric.network.operations.removal import remove_organization
from bfl_fabric.network.operations.sites import configuration
from bfl_fabric.network.topology import sample
from tests.fabric_operations.running import (
    CLOCK,
    LAKESIDE,
    Writer,
    found,
    heights,
    network,
    quiet,
    served,
    site,
    transact,
    until_done,
    verify_every_chain,
)

pytestmark = [
    pytest.mark.needs_fabric,
    pytest.mark.slow,
    pytest.mark.extended,
    pytest.mark.timeout(600),
]


def test_organizations_come_and_go_and_orderers_get_new_identities_on_bft(
    programs: None, tmp_path: Path
) -> None:
    place = tmp_path / "network"
    with network(place, sample().on("fabric", "bft")):
        found(place)
        asyncio.run(set_cutting(place, 0.03, None, CLOCK, quiet))
        asyncio.run(add_organization(place, LAKESIDE, CLOCK, quiet))
        transact(place, "Lakeside")
        asyncio.run(remove_organization(place, "Lakeside", CLOCK, quiet))
        before = asyncio.run(configuration(site(place))).consenters
        with Writer(place, "StAnna") as meanwhile:
            for name in ("orderer-1", "orderer-2"):
                _, crashes = asyncio.run(until_done(partial(rotate_orderer, place, name, CLOCK)))
                assert crashes == 3
        assert meanwhile.failure is None
        assert meanwhile.acknowledged > 0
        after = asyncio.run(configuration(site(place))).consenters
        for number in (0, 1):
            assert after[number].identity != before[number].identity
            assert after[number].server_tls_certificate != before[number].server_tls_certificate
            assert after[number].identifier == before[number].identifier
        assert after[2:] == before[2:]
        transact(place)
        assert set(verify_every_chain(place).values()) == set(heights(place).values())
    with served(place):
        transact(place, "Meridian")
        verify_every_chain(place)


def test_one_of_three_raft_orderers_gets_another_tls_key(programs: None, tmp_path: Path) -> None:
    topology = sample().on("fabric", "raft")
    ordering = topology.ordering.model_copy(update={"orderers": 3})
    place = tmp_path / "network"
    with network(place, topology.model_copy(update={"ordering": ordering})):
        found(place)
        before = asyncio.run(configuration(site(place))).consenters
        for name in ("orderer-1", "orderer-2", "orderer-3"):
            asyncio.run(rotate_orderer(place, name, CLOCK, quiet))
            transact(place)
        after = asyncio.run(configuration(site(place))).consenters
        assert [item.endpoint for item in after] == [item.endpoint for item in before]
        for new, old in zip(after, before, strict=True):
            assert new.server_tls_certificate != old.server_tls_certificate
        assert set(verify_every_chain(place).values()) == set(heights(place).values())
