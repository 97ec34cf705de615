"""Several orderers as one: who is asked next, what is final, where a stream of blocks goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from fabric_protos.common import common_pb2, configtx_pb2

from bfl_fabric.errors import (
    CommitStatusError,
    ConfigurationError,
    LedgerError,
    LedgerUnavailable,
    NotTrusted,
    SubmitError,
)
from bfl_fabric.fabric.blocks import build_block, build_header, last_config_slot, signed_block_metadata
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.config_changes import BlockCutting, add_organization, set_block_cutting
from bfl_fabric.fabric.config_submission import check_update, update_channel
from bfl_fabric.fabric.deliver import Seek
from bfl_fabric.fabric.orderer_client import OrdererClient
from bfl_fabric.fabric.servers import Administrator, Server
from bfl_fabric.fabric.wire import write
from tests.unit.fabric.chain_builder import ChainBuilder
from tests.unit.fabric.config_updates import config_entry
from tests.unit.fabric.fake_servers import NOW_MS, Clock, FakeOrderer, Ordered, serving
from tests.unit.fabric.organizations import CHANNEL, Federation, Organization, federation

OK, BUSY, BAD = common_pb2.SUCCESS, common_pb2.SERVICE_UNAVAILABLE, common_pb2.BAD_REQUEST
CUT = partial(set_block_cutting, cutting=BlockCutting(timeout_ms=20))


def envelope() -> Any:
    channel_header = common_pb2.ChannelHeader(type=3, channel_id=CHANNEL, tx_id="t")
    header = common_pb2.Header(channel_header=write(channel_header))
    return common_pb2.Envelope(payload=write(common_pb2.Payload(header=header)))


@asynccontextmanager
async def clients(
    *orderers: FakeOrderer, missing: bool = False, signer: Any = None
) -> AsyncIterator[OrdererClient]:
    parties = federation()
    administrator = Administrator(signer or parties.organizations[0].admin, Clock())
    async with serving(parties.orderer, *orderers) as places:
        nobody = [Server("127.0.0.1:9", places[0].tls)] if missing else []
        async with OrdererClient([*nobody, *places], administrator, 1.0) as client:
            yield client


def orderer(*statuses: int | None, **more: Any) -> FakeOrderer:
    return FakeOrderer(federation(), Ordered(), list(statuses) or [OK], **more)


def broadcast(*orderers: FakeOrderer, missing: bool = False) -> None:
    async def scenario() -> None:
        async with clients(*orderers, missing=missing) as client:
            await client.broadcast(envelope(), "t")

    asyncio.run(scenario())


def test_the_next_orderer_is_asked_when_one_is_busy() -> None:
    busy, free = orderer(BUSY), orderer(OK)
    broadcast(busy, free)
    assert len(free.taken) == 1
    assert not busy.taken


def test_an_orderer_that_is_not_there_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bfl_fabric.fabric.orderer_client._CONNECT_SECONDS", 0.3)
    free = orderer(OK)
    broadcast(free, missing=True)
    assert len(free.taken) == 1


def test_an_orderer_without_a_leader_is_asked_again_until_it_has_one() -> None:
    starting = orderer(BUSY, BUSY, BUSY, OK)
    broadcast(starting)
    assert len(starting.taken) == 1


def test_a_refusal_for_good_is_not_taken_elsewhere() -> None:
    strict, free = orderer(BAD), orderer(OK)
    with pytest.raises(SubmitError, match="BAD_REQUEST: said the orderer") as refused:
        broadcast(strict, free)
    assert refused.value.transaction_id == "t"
    assert not free.taken


def test_what_no_orderer_took_may_be_sent_again() -> None:
    with pytest.raises(LedgerUnavailable, match="SERVICE_UNAVAILABLE"):
        broadcast(orderer(BUSY), orderer(BUSY))


def test_a_lost_answer_leaves_the_outcome_open() -> None:
    with pytest.raises(CommitStatusError, match="no orderer has taken it"):
        broadcast(orderer(None, BUSY))


def test_a_client_without_orderers_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="host:port"):
        OrdererClient([], Administrator(federation().organizations[0].admin))


def chain(count: int) -> list[bytes]:
    builder = ChainBuilder(federation(), with_codes=False)
    for number in range(count - 1):
        builder.add([b"entry %d" % number], [])
    return builder.blocks


def test_blocks_go_on_at_another_orderer_where_one_breaks_off() -> None:
    blocks = chain(6)
    breaking = orderer(blocks=blocks, break_after=2)
    whole = orderer(blocks=blocks)

    async def scenario() -> list[tuple[int, bytes]]:
        async with clients(breaking, whole) as client:
            return [item async for item in client.blocks(CHANNEL, Seek(0, 5))]

    assert asyncio.run(scenario()) == list(enumerate(blocks))


def test_a_stranger_gets_no_blocks_and_is_told_why() -> None:
    stranger = Organization.create("zeta").admin

    async def scenario() -> None:
        async with clients(ForbiddingOrderer(federation(), Ordered()), signer=stranger) as client:
            with pytest.raises(LedgerError, match="organization of the channel"):
                await client.config(CHANNEL)

    asyncio.run(scenario())


class ForbiddingOrderer(FakeOrderer):
    async def Deliver(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        from fabric_protos.orderer import ab_pb2

        async for _ in requests:
            yield ab_pb2.DeliverResponse(status=common_pb2.FORBIDDEN)


class ConfiguringOrderer(FakeOrderer):
    """Makes a block of each update that it takes; `intruder` is a change that comes before the first."""

    intruder: Any = None
    silent = False

    async def Broadcast(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for message in requests:
            if self.intruder is not None:
                change, self.intruder = self.intruder, None
                async with clients(
                    ConfiguringOrderer(self.federation, self.ordered, blocks=self.blocks)
                ) as other:
                    await update_channel(other, CHANNEL, change, administrators(self.federation))
            try:
                accepted = check_update(self.config, message, NOW_MS)
            except NotTrusted as error:
                yield _answer(BAD, str(error))
                continue
            if not self.silent:
                self.blocks.append(self.block(accepted, message))
            yield _answer(OK, "")

    @property
    def config(self) -> ChannelConfig:
        from bfl_fabric.fabric.blocks import parse_block

        return ChannelConfig.from_block(parse_block(self.blocks[-1]))

    def block(self, config: ChannelConfig, update: Any) -> bytes:
        signer, number = self.federation.consenters[0], len(self.blocks)
        content = configtx_pb2.ConfigEnvelope(config=config.config, last_update=update)
        entries = [config_entry(content, signer, CHANNEL, NOW_MS)]
        header = build_header(number, b"p" * 32, entries)
        slots = [signed_block_metadata(header, number, signer, bytes(24)), last_config_slot(number)]
        return write(build_block(header, entries, slots))


def _answer(status: int, info: str) -> Any:
    from fabric_protos.orderer import ab_pb2

    return ab_pb2.BroadcastResponse(status=status, info=info)


def administrators(parties: Federation) -> list[Administrator]:
    return [Administrator(item.admin, Clock()) for item in [*parties.organizations, parties.orderer]]


def configuring(**more: Any) -> ConfiguringOrderer:
    made = ConfiguringOrderer(federation(), Ordered(), blocks=[write(federation().genesis())])
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_an_update_is_followed_until_a_block_holds_it() -> None:
    async def scenario() -> None:
        at = configuring()
        async with clients(at) as client:
            config = await update_channel(client, CHANNEL, CUT, administrators(federation()))
            assert (config.sequence, config.terms.timeout) == (1, "20ms")
            again = await update_channel(client, CHANNEL, CUT, administrators(federation()))
            assert again.sequence == 1
            assert len(at.blocks) == 2

    asyncio.run(scenario())


def test_a_change_is_made_anew_when_another_update_came_in_between() -> None:
    """The other update makes the first signatures worthless: both touch the same group's version."""
    trust = [Organization.create(name).trust() for name in ("delta", "epsilon")]

    async def scenario() -> None:
        at = configuring(intruder=partial(add_organization, trust=trust[0]))
        async with clients(at) as client:
            change = partial(add_organization, trust=trust[1])
            config = await update_channel(client, CHANNEL, change, administrators(federation()))
            assert config.sequence == 2
            assert {"DeltaMSP", "EpsilonMSP"} <= set(config.organizations)

    asyncio.run(scenario())


def test_an_update_without_enough_signatures_is_not_even_sent() -> None:
    async def scenario() -> None:
        at = configuring()
        async with clients(at) as client:
            with pytest.raises(NotTrusted, match="lacks signatures for Admins"):
                await update_channel(client, CHANNEL, CUT, administrators(federation())[:1])
            with pytest.raises(ConfigurationError, match="at least one"):
                await update_channel(client, CHANNEL, CUT, [])
            assert len(at.blocks) == 1

    asyncio.run(scenario())


def test_an_update_that_shows_in_no_block_has_an_open_outcome() -> None:
    async def scenario() -> None:
        async with clients(configuring(silent=True)) as client:
            with pytest.raises(CommitStatusError, match="no orderer shows a block"):
                await update_channel(client, CHANNEL, CUT, administrators(federation()))

    asyncio.run(scenario())
