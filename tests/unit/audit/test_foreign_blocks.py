"""Blocks of a ledger that is not ours: definitions, configurations, other chaincodes are verified and passed over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bfl_fabric.audit.chain import Chain, read_chain
from bfl_fabric.audit.findings import Check, Findings
from bfl_fabric.audit.source import read_copy, store_blocks
from bfl_fabric.cli.audit import nouns
from bfl_fabric.errors import AuditFailed
from bfl_fabric.fabric.channel import ChannelConfig, Consensus
from bfl_fabric.fabric.envelopes import ValidationCode
from tests.unit.fabric.chain_builder import Call, ChainBuilder, put
from tests.unit.fabric.config_updates import anchor_update, config_entry, signed_envelope
from tests.unit.fabric.organizations import CHAINCODE, CHANNEL, FOUNDED_MS, federation


def foreign_chain(consensus: Consensus) -> ChainBuilder:
    """Genesis, a definition, two configurations, calls of another chaincode; then a definition once more."""
    parties = federation(consensus)
    alpha, beta, _ = parties.organizations
    chain = ChainBuilder(parties)
    chain.define_chaincode()
    config = parties.config()
    for port in (7051, 8051):
        update, new = anchor_update(config, "alpha", port)
        envelope = signed_envelope(update, new, [alpha.admin])
        entry = config_entry(envelope, parties.consenters[0], CHANNEL, FOUNDED_MS + 60_000)
        chain.last_config = len(chain.blocks)
        chain.add([entry], [ValidationCode.VALID])
        config = ChannelConfig(config.channel_id, new)
        chain.add_calls(Call(alpha.client, [alpha.peer, beta.peer], [put(f"key {port}", b"1")]))
    return chain


async def delivered(blocks: list[bytes]) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block


def read(place: Path, digest: str, workers: int) -> tuple[Chain, Findings]:
    findings = Findings()
    return read_chain(read_copy(place), digest, "learning", findings, workers), findings


@pytest.mark.parametrize("consensus", list(Consensus))
@pytest.mark.parametrize("workers", [0, 2])
def test_blocks_of_another_ledger_are_verified_and_hold_nothing_of_the_contract(
    consensus: Consensus, workers: int, tmp_path: Path
) -> None:
    chain = foreign_chain(consensus)
    asyncio.run(store_blocks(tmp_path / "blocks.bin", delivered(chain.blocks)))
    found, findings = read(tmp_path, chain.genesis_digest, workers)
    assert findings.failures == []
    assert found.height == 6
    assert findings.counts[Check.TRANSACTIONS] == 6
    assert len(found.history.transactions) == 0
    assert {namespace for namespace, _ in found.state.public_keys()} == {"_lifecycle", CHAINCODE}


@pytest.mark.parametrize("consensus", list(Consensus))
def test_a_definition_or_configuration_that_was_touched_is_found(
    consensus: Consensus, tmp_path: Path
) -> None:
    chain = foreign_chain(consensus)
    for number in (1, 2, 4):
        blocks = list(chain.blocks)
        tampered = bytearray(blocks[number])
        tampered[len(tampered) // 2] ^= 4
        blocks[number] = bytes(tampered)
        asyncio.run(store_blocks(tmp_path / "blocks.bin", delivered(blocks)))
        found, findings = read(tmp_path, chain.genesis_digest, 0)
        assert [(item.check, item.block) for item in findings.failures] == [(Check.BLOCKS, number)]
        assert found.height == number


def test_the_command_line_compares_copies_and_fails_where_they_part(tmp_path: Path) -> None:
    chain = foreign_chain(Consensus.RAFT)
    other = foreign_chain(Consensus.RAFT)
    places = {"north": chain.blocks, "south": chain.blocks[:4], "west": [*chain.blocks[:5], other.blocks[5]]}
    for name, blocks in places.items():
        asyncio.run(store_blocks(tmp_path / name, delivered(blocks)))

    def compare(*names: str) -> Result:
        return CliRunner().invoke(nouns, ["compare", *(str(tmp_path / name) for name in names)])

    agreed = compare("north", "south")
    assert agreed.exit_code == 0
    assert "the copies agree in 4 blocks" in agreed.output
    parted = compare("north", "west")
    assert isinstance(parted.exception, AuditFailed)
    assert "block 5: the header differs" in str(parted.exception)
    again = compare("north", "north")
    assert "given once" in str(again.exception)
