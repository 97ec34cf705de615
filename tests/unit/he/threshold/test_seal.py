"""SEAL as the judge of the joint key: it encrypts under it as under any of its own, and our shares open that."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
from tenseal import sealapi

from bfl_fabric.he.lattice.channels import message_polynomial, opened_values
from bfl_fabric.he.lattice.parameters import THRESHOLD_T16, LatticeParameters
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.seal import words_of
from bfl_fabric.he.threshold import keymessages
from bfl_fabric.he.threshold.material import Material
from bfl_fabric.he.threshold.plan import KeyPlan
from bfl_fabric.he.threshold.shares import PrivateShare
from tests.unit.he.threshold.federation import LEVELS, some_values

SPECIAL = THRESHOLD_T16.payload_primes[3]


def small_set(payload: tuple[int, ...]) -> LatticeParameters:
    """Return a set with one polynomial for each mask: what SEAL knows as a ciphertext."""
    return LatticeParameters(
        "seal", "threshold", 8192, THRESHOLD_T16.noise_primes, payload, 0, 1, polynomials_per_mask=1,
        max_members=10, max_holders=5, smudge_bits=62, reserved_coefficients=64,
    )  # fmt: skip


DATA = small_set(THRESHOLD_T16.payload_primes[:3])
KEY = small_set((*THRESHOLD_T16.payload_primes[:3], SPECIAL))
"""SEAL's last prime is its special one: the public key is modulo that one as well."""


def seal_context() -> sealapi.SEALContext:
    encryption = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
    encryption.set_poly_modulus_degree(KEY.degree)
    encryption.set_coeff_modulus([sealapi.Modulus(prime) for prime in KEY.primes])
    return sealapi.SEALContext(encryption, True, sealapi.SEC_LEVEL_TYPE.TC128)


def enveloped(body: bytes) -> bytes:
    return struct.pack("<HBBBBHQ", 0xA15E, 16, 4, 3, 0, 0, 16 + len(body)) + body


def public_key_bytes(context: sealapi.SEALContext, b: Residues, a: Residues) -> bytes:
    words = np.stack((b, a))
    array = enveloped(struct.pack("<Q", words.size) + words.astype("<u8").tobytes())
    form = struct.pack("<4QBQQQdQ", *context.key_parms_id(), 1, 2, KEY.degree, len(KEY.primes), 1.0, 1)
    return enveloped(form + array)


def test_seal_encrypts_under_the_joint_key_and_three_of_five_open_it(tmp_path: Path) -> None:
    members = tuple("ABCDE")
    plan = KeyPlan(KEY, "seal", 1, members, 3)
    materials = {member: Material(plan, member, bytes([index]) * 32) for index, member in enumerate(members)}
    shares = {
        member: keymessages.read_key_share(
            plan,
            member,
            keymessages.encode_key_share(
                plan, member, made.transport.public, made.public_share(), made.checks()
            ),
        )
        for member, made in materials.items()
    }
    joint = keymessages.read_joint_key(KEY, keymessages.encode_joint_key(plan, shares))

    context = seal_context()
    path = tmp_path / "key"
    path.write_bytes(public_key_bytes(context, joint.polynomials[0], joint.plan.public_polynomial))
    public_key, cipher = sealapi.PublicKey(), sealapi.Ciphertext()
    public_key.load(context, str(path))
    sealapi.Encryptor(context, public_key).encrypt_zero(cipher)
    words = words_of(cipher, 2 * len(DATA.primes) * DATA.degree).reshape(2, len(DATA.primes), DATA.degree)

    values = some_values(DATA.values_per_polynomial(), 3)
    assert np.abs(values).max() == LEVELS
    total = DATA.ring.add(DATA.ring.inverse(words[0]), message_polynomial(DATA, values, 0))
    active, data_plan = ("A", "C", "D"), KeyPlan(DATA, "seal", 1, members, 3)
    for member in active:
        received = sum(made.private_share(member).astype(np.uint64) for made in materials.values())
        rows = KEY.ring.reduce(np.asarray(received, dtype=np.uint64)[0])[: len(DATA.primes)]
        share = PrivateShare(data_plan, member, [DATA.ring.factor(rows)])
        (answer,) = share.decrypt(active, [words[1]], values.size, member.encode() * 32)
        total = DATA.ring.add(total, answer)
    assert (opened_values(DATA, total, DATA.noise_bound, values.size) == values).all()
    assert math.prod(KEY.primes).bit_length() <= 202
