"""Keys and uploads that the tests of this folder use."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bfl_chaincode.api.records import EncryptionTerms
from bfl_fabric.he.isolation import WorkerLimits
from bfl_fabric.he.lattice.bodies import KeyName, sizes
from bfl_fabric.he.lattice.messages import Expansion, Header, Kind, encode_polynomial
from bfl_fabric.he.lattice.parameters import PACKED_S16K, LatticeParameters
from bfl_fabric.he.lattice.terms import LatticeTerms
from bfl_fabric.he.packed.backend import BackEndName
from bfl_fabric.he.packed.groupkey import read_public_key
from bfl_fabric.he.packed.scheme import PackedProvider
from bfl_fabric.he.scale.proof import Federation
from tests.unit.he.packed.samples import InProcess

KEY = KeyName(1, "ab" * 32)
VALUE_BITS = 16


def federation(
    place: Path,
    back_end: BackEndName = BackEndName.RING,
    parameters: LatticeParameters = PACKED_S16K,
    weight: int = 16_000,
) -> Federation:
    """Return a task of the scheme packed whose secrets are held without a process."""
    terms = EncryptionTerms("packed", parameters.digest, VALUE_BITS, "0.25", weight)
    provider, secret = PackedProvider(WorkerLimits(), back_end, InProcess), place / "secret"
    key = provider.create_key(terms, 1, secret)
    return Federation(
        LatticeTerms.of(terms),
        read_public_key(key, parameters),
        provider.member(terms, key, secret),
        provider.secret(terms, key, secret),
    )


@dataclass
class Uploads:
    """Well-formed uploads of random residues: the aggregator cannot tell them from encryptions."""

    folder: Path
    parameters: LatticeParameters
    parameter_count: int
    terms: LatticeTerms = field(init=False)

    def __post_init__(self) -> None:
        self.terms = LatticeTerms(self.parameters, 127, 1_000)
        self._random = np.random.default_rng(1)

    def polynomials(self) -> list[bytes]:
        """Return fresh masks and polynomials."""
        parameters = self.parameters
        return [
            encode_polynomial(
                parameters,
                np.stack(
                    [self._random.integers(0, prime, size, dtype=np.uint64) for prime in parameters.primes]
                ),
            )
            for size in sizes(parameters, self.parameter_count)
        ]

    def written(self, author: str, polynomials: list[bytes], count: int | None = None) -> Path:
        """Return the file of an upload of these masks and polynomials."""
        seeded = bool(self.parameters.noise_step)
        header = Header(
            Kind.UPDATE, self.parameters.digest, 1, 1, count or self.parameter_count, 1, 1,
            expansion=Expansion.AES_CTR if seeded else Expansion.NONE,
            seed=self._random.bytes(32) if seeded else bytes(32),
            subject=bytes.fromhex(KEY.digest), task_id="t", author=author,
        )  # fmt: skip
        path = self.folder / author
        path.write_bytes(b"".join([header.encode(), *polynomials]))
        return path

    def several(self, count: int) -> list[Path]:
        """Return the files of uploads of silo-0 and so on."""
        return [self.written(f"silo-{number}", self.polynomials()) for number in range(count)]
