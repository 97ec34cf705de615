"""The share proof as docs/wire-format.md has it, read without the code that makes and verifies it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from bfl_fabric.he.lattice.bits import packed_bytes, unpack
from bfl_fabric.he.lattice.expansion import uniform_polynomial
from bfl_fabric.he.lattice.messages import HEADER_BYTES, encode_polynomial
from bfl_fabric.he.lattice.randomness import Stream
from bfl_fabric.he.lattice.ring import Residues
from tests.unit.he.threshold.vectors import PINNED, Scene

MEMBER = "AlphaMSP"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("proof-bytes"))


class Body:
    """A body that is cut from its front."""

    def __init__(self, scene: Scene, data: bytes) -> None:
        self.left, self.parameters = data, scene.parameters

    def take(self, count: int) -> bytes:
        taken, self.left = self.left[:count], self.left[count:]
        assert len(taken) == count
        return taken

    def polynomial(self, coefficients: int) -> Residues:
        rows = [
            unpack(self.take(packed_bytes(coefficients, width)), width) for width in self.parameters.widths
        ]
        return np.stack(rows)

    def wide(self, shift: int, largest: int, count: int) -> list[int]:
        """Return a polynomial of wide integers, each in its range and its one form."""
        degree = self.parameters.degree
        high, low = (np.frombuffer(self.take(8 * degree), dtype="<i8").tolist() for _ in range(2))
        margin = (largest >> shift) + 2
        kept = (1 << (16 * margin * count).bit_length()) - margin
        assert all(-kept <= word < kept for word in high)
        assert all(0 <= word < 1 << shift for word in low)
        return [(one << shift) + two for one, two in zip(high, low, strict=True)]


def residues(scene: Scene, numbers: list[int]) -> Residues:
    rows = [[number % prime for number in numbers] for prime in scene.parameters.primes]
    return scene.parameters.ring.transform(np.array(rows, dtype=np.uint64))


def challenge(scene: Scene, digest: bytes, index: int) -> Residues:
    material = b"bfl-fabric share proof challenge v1\0" + digest + index.to_bytes(8, "little")
    words = iter(Stream(hashlib.shake_256(material).digest(32)).words(1_000).tolist())
    places: dict[int, int] = {}
    while len(places) < 16:
        word = next(words)
        places.setdefault(word // 2 % scene.parameters.degree, -1 if word % 2 else 1)
    return residues(scene, [places.get(place, 0) for place in range(scene.parameters.degree)])


def commitment(scene: Scene) -> list[Residues]:
    """Return V^(0) … V^(K) of the first member, at the point 1: the sum of all W of an index."""
    joint, ring = scene.scheme.joint_key, scene.parameters.ring
    each = scene.parameters.polynomials_per_mask + 1
    first = [ring.subtract(np.zeros_like(part), part) for part in joint.polynomials] + [joint.checks[0]]
    assert PINNED["plan"]["threshold"] == 2
    return [ring.add(zero, one) for zero, one in zip(first, joint.checks[1 : 1 + each], strict=True)]


def test_the_pinned_proof_fits_what_the_page_says_of_it(scene: Scene) -> None:
    parameters, ring, each = scene.parameters, scene.parameters.ring, scene.parameters.polynomials_per_mask
    share, proof = scene.sum_shares[MEMBER].read_bytes(), scene.proofs[MEMBER].read_bytes()
    header, body = proof[:HEADER_BYTES], Body(scene, proof[HEADER_BYTES:])
    assert header[108:140] == hashlib.sha256(share).digest()
    used = parameters.coefficients_in(0, scene.direction.size)
    answer = Body(scene, share[HEADER_BYTES:]).polynomial(used)
    rest, digest = body.polynomial(parameters.degree - used), body.take(32)
    whole = ring.transform(np.concatenate((answer, rest), axis=1))

    committed, seed = commitment(scene), scene.plan.public_seed
    a, *checks = (uniform_polynomial(ring, seed, number) for number in range(each + 1))
    weight = scene.plan.interpolation(scene.opening.active, MEMBER)
    weighted = ring.product(total_of_masks(scene), weight)
    state = hashlib.sha256(header + share[108:140])
    for part in (rest, *committed, weighted):
        state.update(encode_polynomial(parameters, part))
    members, threshold = len(scene.plan.members), scene.plan.threshold
    small = 16 * members * 21 * each * sum(members**power for power in range(threshold))
    noise_shift = max(50, parameters.smudge_bits - 22)
    for index in range(2):
        c = challenge(scene, digest, index)
        z = [body.polynomial(parameters.degree) for _ in range(each)]
        f = [residues(scene, body.wide(40, small, (each + 1) * parameters.degree)) for _ in range(each + 1)]
        wide = body.wide(noise_shift, 16 * 12 << parameters.smudge_bits, parameters.degree)
        images = [ring.add(ring.product(a, part), error) for part, error in zip(z, f, strict=False)]
        products = [ring.product(check, part) for check, part in zip(checks, z, strict=True)]
        images.append(ring.add(ring.reduce(np.sum(products, axis=0, dtype=np.uint64)), f[-1]))
        images.append(ring.add(ring.product(weighted, z[0]), residues(scene, wide)))
        for image, known in zip(images, [*committed, whole], strict=True):
            state.update(encode_polynomial(parameters, ring.subtract(image, ring.product(c, known))))
    assert not body.left
    assert state.digest() == digest


def total_of_masks(scene: Scene) -> Residues:
    """Return C1, whose digest the share names."""
    parameters = scene.parameters
    masks = [Body(scene, path.read_bytes()[HEADER_BYTES:]) for path in (*scene.masks.values(), *scene.zeros)]
    total = parameters.ring.reduce(
        np.sum([mask.polynomial(parameters.degree) for mask in masks], axis=0, dtype=np.uint64)
    )
    named = b"bfl-fabric masks v1\0" + bytes.fromhex(scene.scheme.joint_key.digest)
    found = hashlib.sha256(named + encode_polynomial(parameters, total)).digest()
    assert found == scene.sum_shares[MEMBER].read_bytes()[108:140]
    return total
