"""Five hospitals share a key, three of them open, one key holder is killed in the middle: the model is the same."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from bfl_chaincode.api.records import CeremonyStatus, CeremonyView, NodeRole, Phase, RoundView, ShareSubject
from bfl_fabric.roles.attempts import shares_of
from bfl_fabric.sdk import AsyncTask
from bfl_fabric.sdk.local import LocalFederation
from tests.system.federations import Plan, run_federation

ORGANIZATIONS, THRESHOLD, ROUNDS = 5, 3, 3
SINGLE = Plan(rounds=ROUNDS, organizations=ORGANIZATIONS, participants=ORGANIZATIONS)
SHARED = Plan(
    rounds=ROUNDS,
    organizations=ORGANIZATIONS,
    participants=ORGANIZATIONS,
    scheme="threshold",
    share_seconds=12,
)
OF_KEYS = {
    "key:OpenCeremony": 1,
    "key:CommitKeyShare": ORGANIZATIONS,
    "key:RevealKeyShare": ORGANIZATIONS,
    "key:ConfirmKey": ORGANIZATIONS,
    "key:CloseCeremony": 1,
}
OF_OPENINGS = {"opening:Offer", "opening:Begin", "opening:PostShares"}
CHUNK_BYTES = 48


class Story:
    """What the ledger showed of a run, and in which rounds the test killed whom; `down` is who is kept down."""

    def __init__(self) -> None:
        self.killed: dict[int, str] = {}
        self.down = ""
        self.ceremonies: list[CeremonyView] = []
        self.rounds: list[RoundView] = []
        self.events: list[str] = []


def key_holder_of(federation: LocalFederation, msp_id: str) -> str:
    """Return the name of an organization's key holder node."""
    return next(
        name
        for organization in federation.topology.organizations
        for name, role in federation.topology.nodes(organization).items()
        if organization.msp_id == msp_id and role is NodeRole.KEY_HOLDER
    )


async def kill_an_answerer(federation: LocalFederation, task: AsyncTask, story: Story) -> None:
    """Kill an active key holder when a round with a direction begins to be opened, and keep it down.

    If it had answered already, it is started again and the next round is tried.
    """
    async for event in task._federation.ledger.events(start_block=0):
        story.events.append(event.name)
        number = event.event.round
        if event.name == "opening:Begin" and number >= 2 and not story.down:
            opening = (await task.view(number)).openings[-1]
            story.killed[number] = story.down = key_holder_of(federation, opening.members[-1])
            federation.hold(story.down)
        if event.name == "round:ReleaseShare" and story.down and len((await task.view(number)).openings) == 1:
            federation.release(story.down)
            story.down = ""
        if event.name == "task:Close":
            break
    story.ceremonies = await task.ceremonies()
    story.rounds = [await task.view(number) for number in range(1, ROUNDS + 1)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_key_holder_changes_no_model_and_the_ledger_shows_digests_only(tmp_path: Path) -> None:
    single = [record.digest for record in run_federation(tmp_path / "single", SINGLE)]
    story, place = Story(), tmp_path / "shared"

    async def disturb(federation: LocalFederation, task: AsyncTask) -> None:
        await kill_an_answerer(federation, task, story)

    shared = [record.digest for record in run_federation(place, SHARED, disturb)]
    assert shared == single
    assert story.killed
    check_ceremony(story)
    check_openings(story)
    check_transactions(story)
    check_blocks(place, story)


def check_ceremony(story: Story) -> None:
    """One ceremony made the key: everybody committed, revealed and confirmed the same."""
    (view,) = story.ceremonies
    assert view.ceremony.status is CeremonyStatus.CLOSED
    assert (len(view.ceremony.members), view.ceremony.threshold) == (ORGANIZATIONS, THRESHOLD)
    assert {item.joint_key_digest for item in view.confirmations} == {view.ceremony.joint_key_digest}
    assert not view.complaints


def check_openings(story: Story) -> None:
    """Each round was opened by three members; where one of them died, by another three with fresh zeros."""
    for view in story.rounds:
        assert view.round is not None
        assert view.round.phase is Phase.SETTLED
        assert view.round.scores_digest == ""
        last = view.openings[-1]
        assert len(last.members) == THRESHOLD
        assert tuple(shares_of(view, last, ShareSubject.SUM)) == last.members
        zeros = {offer.zero_digest for offer in view.offers if offer.attempt > 1}
        assert "" not in zeros
        assert not view.blames
    failed = [view for view in story.rounds if len(view.openings) > 1]
    assert {view.round.number for view in failed if view.round} <= set(story.killed)
    assert failed, f"every killed member had answered already: {story.killed}"
    for view in failed:
        first, second = view.openings[:2]
        assert first.members != second.members
        assert first.seed != second.seed


def check_transactions(story: Story) -> None:
    """Keys and openings leave these transactions and no others."""
    counts = Counter(name for name in story.events if name.startswith(("key:", "opening:")))
    assert {name: count for name, count in counts.items() if name.startswith("key:")} == OF_KEYS
    assert {name for name in counts if name.startswith("opening:")} == OF_OPENINGS


def check_blocks(place: Path, story: Story) -> None:
    """No part of any member's secrets, shares, zeros or dealings is in a block; what was posted are their digests."""
    chain = (place / "ledger" / "blocks.bin").read_bytes()
    secrets = [path for path in place.glob("nodes/key-holder-*/keys/*") if path.is_file()]
    assert len(secrets) >= 3 * ORGANIZATIONS
    posted = [blob_of(place, digest) for digest in posted_digests(story)]
    for digest in posted_digests(story):
        assert digest.encode() in chain
    for path in [*secrets, *posted]:
        data = path.read_bytes()
        for start in range(len(data) // 2, len(data) - CHUNK_BYTES, len(data) // 7):
            assert data[start : start + CHUNK_BYTES] not in chain, path.name


def posted_digests(story: Story) -> list[str]:
    """Return what the ledger names of dealings, decryption shares and zeros."""
    dealings = [reveal.dealing_digest for view in story.ceremonies for reveal in view.reveals]
    shares = [share.digest for view in story.rounds for share in view.shares]
    zeros = [offer.zero_digest for view in story.rounds for offer in view.offers if offer.zero_digest]
    assert (len(dealings), len(zeros) >= THRESHOLD) == (ORGANIZATIONS, True)
    assert len(shares) >= THRESHOLD * (2 * ROUNDS - 1)
    return [*dealings, *shares, *zeros]


def blob_of(place: Path, digest: str) -> Path:
    """Return the file of a blob in the store of the key holder that made it, or of another one."""
    found = sorted(place.glob(f"nodes/key-holder-*/blobs/**/{digest}"))
    assert found, f"no key holder has {digest}"
    assert hashlib.sha256(found[0].read_bytes()).hexdigest() == digest
    return found[0]
