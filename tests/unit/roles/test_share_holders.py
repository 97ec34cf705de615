"""When a member's share is loaded and when it leaves memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bfl_chaincode.api.records import EncryptionTerms, NodeRole, RoundView
from bfl_fabric.domain.ports import ShareHolder
from bfl_fabric.errors import NotFound
from bfl_fabric.roles.actions import Action
from bfl_fabric.roles.ceremony import secret_path
from bfl_fabric.roles.key_holder import KeyHolderRole
from bfl_fabric.roles.materials import Materials
from bfl_fabric.roles.schemes import TaskSchemes
from bfl_fabric.roles.share_holders import LoadShare, ShareHolders
from bfl_fabric.roles.turns import Begin, Offer, OfOpening
from bfl_fabric.roles.workbench import Workbench
from bfl_fabric.testing.compute import InlineCompute
from bfl_fabric.testing.scheme import PlainProvider
from tests.unit.roles.nodes import ANode, Scene
from tests.unit.roles.rounds import OPENED_AT, TASK, digest
from tests.unit.roles.shared import MEMBERS, joint_epoch, openable

KEY = b"a joint key"


class Holder:
    """A share in memory, until it is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_open = True

    def close(self) -> None:
        self.is_open = False


class Provider(PlainProvider):
    """Takes any joint key, and keeps the holders that it made."""

    def __init__(self) -> None:
        super().__init__("seed")
        self.made: list[Holder] = []

    def holder(self, terms: EncryptionTerms, joint_key: bytes, secret_path: Path) -> ShareHolder:
        assert joint_key == KEY
        if not secret_path.exists():
            raise NotFound(f"no share at {secret_path}")
        self.made.append(Holder(secret_path))
        return self.made[-1]  # type: ignore[return-value]  # nothing is asked of it here


class AnyKey:
    """The schemes of a task whose public key is not looked at."""

    async def joint(self, view: RoundView) -> None:
        await asyncio.sleep(0)


class Member:
    """A key member with a folder of shares."""

    def __init__(self, folder: Path) -> None:
        self.keys = folder / "keys"
        self.keys.mkdir()
        self.provider = Provider()
        node = ANode(Scene(folder), MEMBERS[0], "key-holder-x", NodeRole.KEY_HOLDER)
        self.key_digest = node.blobs.put(KEY)
        ports = replace(node.bench.ports, schemes=self.provider)
        bench = Workbench(node.bench.identity, ports, InlineCompute(), node.progress.append)
        self.holders = ShareHolders(bench, AnyKey(), self.keys)  # type: ignore[arg-type]

    def keeps(self, epoch: int) -> None:
        secret_path(self.keys, TASK, epoch).write_text("a share")

    def view(self, epoch: int = 1, **changes: int) -> RoundView:
        made = replace(joint_epoch(epoch, **changes), public_key_digest=self.key_digest)
        return replace(openable(), key_epoch=made)

    @property
    def open(self) -> list[str]:
        """The files of the shares in memory."""
        return [holder.path.name for holder in self.provider.made if holder.is_open]


@pytest.fixture
def member(tmp_path: Path) -> Member:
    return Member(tmp_path)


def test_a_share_is_loaded_as_soon_as_its_key_is_there_and_once(member: Member) -> None:
    member.keeps(1)
    assert member.holders.due(member.view()) == [LoadShare(TASK, 0, 1)]
    asyncio.run(member.holders.of(member.view()))
    assert member.holders.due(member.view()) == []
    assert member.open == [secret_path(member.keys, TASK, 1).name]


def test_nothing_is_loaded_without_a_key_a_share_or_a_use(member: Member) -> None:
    assert member.holders.due(replace(openable(), key_epoch=None)) == []
    assert member.holders.due(member.view()) == []
    member.keeps(1)
    assert member.holders.due(member.view(expires_at=OPENED_AT - 1)) == []
    stranger = member.view()
    assert stranger.key_epoch is not None
    others = replace(stranger.key_epoch, members=MEMBERS[1:])
    assert member.holders.due(replace(stranger, key_epoch=others)) == []


def test_who_asks_while_a_share_is_being_loaded_gets_the_same(member: Member) -> None:
    member.keeps(1)

    async def both() -> None:
        first, second = await asyncio.gather(
            member.holders.of(member.view()), member.holders.of(member.view())
        )
        assert first is second

    asyncio.run(both())
    assert len(member.provider.made) == 1


def test_a_new_keys_share_takes_the_place_of_the_old_one(member: Member) -> None:
    member.keeps(1)
    member.keeps(2)
    asyncio.run(member.holders.of(member.view()))
    asyncio.run(member.holders.of(member.view(2)))
    assert member.open == [secret_path(member.keys, TASK, 2).name]


def test_a_share_that_is_not_there_ends_nothing(member: Member) -> None:
    member.keeps(1)
    asyncio.run(member.holders.of(member.view()))
    with pytest.raises(NotFound):
        asyncio.run(member.holders.of(member.view(2)))
    assert member.open == [secret_path(member.keys, TASK, 1).name]


def test_the_shares_of_tasks_that_ended_leave_memory(member: Member) -> None:
    member.keeps(1)
    asyncio.run(member.holders.of(member.view()))
    asyncio.run(member.holders.keep([TASK, "another"]))
    assert len(member.open) == 1
    asyncio.run(member.holders.keep(["another"]))
    assert member.open == []


@pytest.mark.parametrize("step", [Begin(TASK, 1, 1), Offer(TASK, 1, 2)], ids=["begin", "offer"])
def test_who_has_lost_its_share_neither_begins_nor_offers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: OfOpening
) -> None:
    async def added(self: Materials, action: Action, view: RoundView) -> str:
        return digest("sum of masks")

    monkeypatch.setattr(Materials, "masks_digest", added)
    monkeypatch.setattr(TaskSchemes, "joint", AnyKey.joint)
    scene = Scene(tmp_path)
    scene.public_key, scene.provider = KEY, Provider()
    node = ANode(scene, MEMBERS[0], "key-holder-x", NodeRole.KEY_HOLDER)
    (tmp_path / "keys").mkdir()
    role = KeyHolderRole(node.bench, node.schemes, tmp_path / "keys")
    node.blobs.put(KEY)
    scene.show(openable())
    with pytest.raises(NotFound, match="no share at"):
        asyncio.run(role.perform(step))
    assert scene.ledger.submitted == []
