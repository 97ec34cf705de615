"""With real worker processes: the whole path through the provider, and that secrets are in no other process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import CeremonyPlan
from bfl_fabric.errors import ConfigurationError, KeyHolderRefused, MalformedInput, NotFound
from bfl_fabric.he.isolation import WorkerLimits
from bfl_fabric.he.lattice.parameters import THRESHOLD_T16
from bfl_fabric.he.provider import EncryptionSchemes
from bfl_fabric.he.threshold import memberfile
from bfl_fabric.he.threshold.provider import ThresholdProvider
from tests.unit.he.test_worker import LINUX, children, memory_hits
from tests.unit.he.threshold.federation import Federation, terms_of

NODES = """
import sys
from pathlib import Path
import numpy as np
from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.domain.ports import CeremonyPlan, OpeningTerms, UpdateName
from bfl_fabric.he.lattice.parameters import THRESHOLD_T16
from bfl_fabric.he.provider import EncryptionSchemes

folder, members = Path(sys.argv[1]), ("A", "B", "C")
terms = EncryptionTerms("threshold", THRESHOLD_T16.digest, 16, "0.5", 100, 2)
schemes = EncryptionSchemes()
parts = {m: schemes.ceremony(terms, CeremonyPlan("t", 1, members, 2, m), folder / m) for m in members}
shares = {m: part.key_share() for m, part in parts.items()}
dealings = {m: part.deal(shares) for m, part in parts.items()}
(joint_key,) = {part.finish(shares, dealings) for part in parts.values()}
for part in parts.values():
    part.close()
scheme = schemes.joint(terms, joint_key)
uploads, masks = [], []
for who in "xyz":
    upload, mask = folder / f"upload-{who}", folder / f"mask-{who}"
    upload.write_bytes(scheme.encrypt(UpdateName("t", 1, who), 1, 5, np.arange(500)))
    mask.write_bytes(scheme.mask(upload))
    uploads.append(upload)
    masks.append(mask)
aggregate = folder / "sum"
aggregate.write_bytes(scheme.aggregate(uploads))
opening, answers = OpeningTerms("t", 1, 1, 1, members, 2, ("A", "C"), "00" * 32), {}
holders = [schemes.holder(terms, joint_key, folder / m) for m in opening.active]
for member, holder in zip(opening.active, holders):
    answers[member] = folder / f"share-{member}"
    answers[member].write_bytes(holder.sum_share(opening, masks, []))
assert (scheme.combine(opening, aggregate, [], answers) == 3 * np.arange(500)).all()
assert not any(name.startswith("tenseal") for name in sys.modules)
print(" ".join(str(holder._worker.process_id) for holder in holders), flush=True)
sys.stdin.read()
"""


@LINUX
def test_no_word_of_a_share_is_in_the_memory_of_a_members_process(tmp_path: Path) -> None:
    """Three members made a key and two opened a sum in that process; their secrets never left the workers.

    The words of one are in its own worker alone: not in the node, not in the worker of another member beside it.
    """
    node = subprocess.Popen(
        [sys.executable, "-c", NODES, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert node.stdout is not None
        workers = [int(word) for word in node.stdout.readline().split()]
        assert len(workers) == 2
        patterns = secret_patterns(tmp_path / "A")
        assert memory_hits(node.pid, patterns) == 0
        own, other = (hits_where_readable(worker, patterns) for worker in workers)
        assert own is None or own > 0
        assert other is None or other == 0
        for worker in workers:
            shown = (
                Path(f"/proc/{worker}/cmdline").read_bytes() + Path(f"/proc/{worker}/environ").read_bytes()
            )
            assert not any(pattern in shown for pattern in patterns)
    finally:
        node.communicate()
    # the scan does find words where they are: this process has just read them
    assert memory_hits(os.getpid(), patterns) > 0
    for path in tmp_path.iterdir():
        if path.is_file() and path.name != "A":
            data = path.read_bytes()
            assert not any(pattern in data for pattern in patterns), path.name


def hits_where_readable(process_id: int, patterns: list[bytes]) -> int | None:
    """Return `memory_hits`, None where the kernel lets nobody but root look into a process that is not dumpable."""
    try:
        return memory_hits(process_id, patterns)
    except PermissionError:
        return None


def secret_patterns(path: Path) -> list[bytes]:
    """Return parts of the packed share, some of its words as numbers, and the seed of the noise."""
    file = memberfile.read(path)
    assert file.share
    rows = np.frombuffer(file.share[: 24 * 1024], dtype=np.uint8).reshape(-1, 3).astype(np.uint64)
    words = rows[:, 0] | rows[:, 1] << np.uint64(8) | rows[:, 2] << np.uint64(16)
    numbers = [words[start : start + 4].astype("<u8").tobytes() for start in (0, 1_000, 8_000)]
    return [file.noise_key, *(file.share[at : at + 24] for at in (0, 99_999, 1_500_000)), *numbers]


def test_a_refused_share_leaves_no_worker_behind(three_of_five: Federation, tmp_path: Path) -> None:
    provider = ThresholdProvider(WorkerLimits())
    before = children()
    with pytest.raises(NotFound, match="there is no secret file"):
        provider.holder(terms_of(THRESHOLD_T16, 3), three_of_five.joint_key, tmp_path / "none")
    assert children() == before


def test_a_dealing_is_refused_by_name_through_the_worker(tmp_path: Path) -> None:
    """Dealer and evidence come through the pipe as they were."""
    terms, schemes = terms_of(THRESHOLD_T16, 2), EncryptionSchemes()
    parts = {
        member: schemes.ceremony(terms, CeremonyPlan("t", 1, ("A", "B"), 2, member), tmp_path / member)
        for member in ("A", "B")
    }
    shares = {member: part.key_share() for member, part in parts.items()}
    dealings = {member: part.deal(shares) for member, part in parts.items()}
    spoiled = dealings["B"][:-1] + bytes([dealings["B"][-1] ^ 1])
    with pytest.raises(KeyHolderRefused, match="what B dealt to A is refused") as refusal:
        parts["A"].finish(shares, {**dealings, "B": spoiled})
    assert getattr(refusal.value, "dealer", "") == "B"
    assert len(getattr(refusal.value, "evidence", b"")) == 32
    for part in parts.values():
        part.close()
    schemes.close()


def test_the_provider_says_what_a_scheme_cannot_do(three_of_five: Federation, tmp_path: Path) -> None:
    schemes, terms = EncryptionSchemes(), terms_of(THRESHOLD_T16, 3)
    with pytest.raises(ConfigurationError, match="made in a ceremony"):
        schemes.create_key(terms, 1, tmp_path / "key")
    with pytest.raises(ConfigurationError, match="opened by its holders together"):
        schemes.secret(terms, three_of_five.joint_key, tmp_path / "key")
    ckks = EncryptionTerms("ckks", terms.parameters_digest, 16, "0.5", 100)
    with pytest.raises(ConfigurationError, match="has no keys that several hold"):
        schemes.joint(ckks, three_of_five.joint_key)
    with pytest.raises(MalformedInput):
        schemes.joint(terms, three_of_five.joint_key[:-1])
    schemes.close()
