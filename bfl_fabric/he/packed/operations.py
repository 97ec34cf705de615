"""What the worker process does for the scheme `packed`: everything that touches a secret.

Decides by itself what may be opened as far as bytes can tell: a sum of at least two members, of the weight that the
task allows, that opens to values of that weight. One text refuses everything that is found while opening, after all
was looked at: which coefficient was wrong is a hint about the secret.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from bfl_fabric.errors import ConfigurationError, KeyHolderRefused, MalformedInput
from bfl_fabric.he.frames import Head
from bfl_fabric.he.lattice import bodies
from bfl_fabric.he.lattice.bodies import RawPolynomial
from bfl_fabric.he.lattice.channels import opened_values
from bfl_fabric.he.lattice.expansion import uniform_polynomial
from bfl_fabric.he.lattice.messages import Expansion, Header, Kind, Reader, open_message, require
from bfl_fabric.he.lattice.modular import Integers
from bfl_fabric.he.lattice.parameters import LatticeParameters, parameters_named
from bfl_fabric.he.lattice.randomness import ERROR_BOUND
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.lattice.threads import each
from bfl_fabric.he.packed import groupkey, transportfile
from bfl_fabric.he.packed.backend import BackEnd, BackEndName, Masks, RingBackEnd, secret_factor
from bfl_fabric.he.packed.groupkey import GroupKey
from bfl_fabric.he.scoring import messages

Reply: TypeAlias = tuple[Head, bytes]

REFUSAL = "it does not open to a sum of well-formed updates of this weight"


class PackedOperations:
    """Keeps keys by the file that they came from, and back ends that hold them."""

    def __init__(self) -> None:
        self._keys: dict[str, GroupKey] = {}
        self._back_ends: dict[tuple[str, str], BackEnd] = {}

    def by_name(self) -> dict[str, Callable[[Head, bytes], Reply]]:
        """Return the operations under the names that requests have for them."""
        return {
            "packed_create_key": self._create_key,
            "packed_load_key": self._load_key,
            "packed_encrypt": self._encrypt,
            "packed_open_sum": self._open_sum,
            "packed_open_score": self._open_score,
            "packed_transport_key": self._transport_key,
            "packed_grant": self._grant,
            "packed_accept": self._accept,
        }

    def _create_key(self, head: Head, payload: bytes) -> Reply:
        """Make the key's file unless it is there. Reply: the public blob."""
        parameters, path, epoch = _parameters(head), Path(_text(head, "secret_path")), _number(head, "epoch")
        if not path.exists():
            try:
                groupkey.write(path, GroupKey.of(parameters, epoch, _fresh_secret(head)))
            except FileExistsError:
                return self._create_key(head, payload)
        key = groupkey.read(path, parameters)
        if key.epoch != epoch:
            raise KeyHolderRefused(f"the key file {path.name} is of epoch {key.epoch}, not of {epoch}")
        return {}, key.public_key

    def _load_key(self, head: Head, payload: bytes) -> Reply:
        """Payload: the public blob that the ledger names. Refuses when the file's is another."""
        self._require_key(head, payload)
        return {}, b""

    def _encrypt(self, head: Head, payload: bytes) -> Reply:
        """Payload: the values, little-endian in the head's type. Reply: the header's seed, then the body."""
        parameters = _parameters(head)
        values = np.frombuffer(payload, dtype=values_type(parameters)).astype(np.int64)
        if max(int(values.max()), -int(values.min())) > parameters.largest_sum:
            raise MalformedInput(f"a value is beyond ±{parameters.largest_sum}")
        encrypted = self._back_end(head).encrypt(values)
        return {"expansion": int(encrypted.expansion)}, b"".join([encrypted.seed, *encrypted.body])

    def _open_sum(self, head: Head, payload: bytes) -> Reply:
        """Reply: the exact sum, int64; all of it or nothing."""
        parameters, key = _parameters(head), self._key(head)
        with open_message(Path(_text(head, "path")), parameters, Kind.SUM) as reader:
            _check_sum_header(reader.header, key, _number(head, "members"), _number(head, "max_total_weight"))
            masks = Masks.of(bodies.begin_sum(reader, parameters))
            values = _opened(parameters, self._back_end(head), reader, masks)
            bound = reader.header.weight * _number(head, "levels")
        if any(part is None or np.abs(part).max(initial=0) > bound for part in values):
            raise KeyHolderRefused(REFUSAL)
        return {}, b"".join(part.astype("<i8", copy=False).tobytes() for part in values if part is not None)

    def _open_score(self, head: Head, payload: bytes) -> Reply:
        """Payload: a score's wire bytes. Reply: one integer."""
        parameters, key, levels = _parameters(head), self._key(head), _number(head, "levels")
        score = messages.read_score(payload, parameters, levels * _number(head, "max_total_weight"))
        _require_epoch(score.header, key)
        expand = _expansion_of(parameters, score.header, score.seeds)
        return {
            "score": messages.open_score(score, levels, expand, secret_factor(parameters, key.secret))
        }, b""

    def _transport_key(self, head: Head, payload: bytes) -> Reply:
        """Reply: the public half of the pair in the file; it is made when there is none."""
        return {}, transportfile.made(Path(_text(head, "transport_path"))).public

    def _grant(self, head: Head, payload: bytes) -> Reply:
        """Payload: the public blob, then a silo's transport key. Reply: the grant."""
        size = groupkey.PUBLIC_BYTES
        return {}, groupkey.grant(self._require_key(head, payload[:size]), payload[size:])

    def _accept(self, head: Head, payload: bytes) -> Reply:
        """Payload: the public blob, then a grant. Writes the key's file; a second time is nothing new."""
        parameters, path = _parameters(head), Path(_text(head, "secret_path"))
        size = groupkey.PUBLIC_BYTES
        pair = transportfile.read(Path(_text(head, "transport_path")))
        key = groupkey.accept(parameters, payload[:size], payload[size:], pair)
        try:
            groupkey.write(path, key)
        except FileExistsError:
            self._require_key(head, payload[:size])
        return {}, b""

    def _key(self, head: Head) -> GroupKey:
        path = _text(head, "secret_path")
        if path not in self._keys:
            self._keys[path] = groupkey.read(Path(path), _parameters(head))
        return self._keys[path]

    def _require_key(self, head: Head, public_key: bytes) -> GroupKey:
        key = self._key(head)
        if key.public_key != public_key:
            raise KeyHolderRefused(
                "the group key file belongs to another public key than the one on the ledger"
            )
        return key

    def _back_end(self, head: Head) -> BackEnd:
        name = _text(head, "back_end"), _text(head, "secret_path")
        if name not in self._back_ends:
            self._back_ends[name] = _made(_back_end_name(head), _parameters(head), self._key(head).secret)
        return self._back_ends[name]


def values_type(parameters: LatticeParameters) -> str:
    """Return the type in which values go to the worker: the narrowest that takes any sum."""
    return "<i4" if parameters.largest_sum < 1 << 31 else "<i8"


def _opened(
    parameters: LatticeParameters, back_end: BackEnd, reader: Reader, masks: Masks
) -> list[Integers | None]:
    """Return the values of each polynomial, None where it does not open. Raises MalformedInput."""
    header, each_has = reader.header, parameters.values_per_polynomial()
    bound = ERROR_BOUND * header.members

    def opened(raw: RawPolynomial) -> Integers | None:
        total = bodies.checked(reader, raw)
        count = min(each_has, header.parameter_count - raw.number * each_has)
        try:
            return opened_values(parameters, back_end.opened(raw.number, total, masks), bound, count)
        except KeyHolderRefused:
            return None

    return list(each(opened, bodies.raw_polynomials(reader, parameters)))


def _expansion_of(parameters: LatticeParameters, header: Header, seeds: bytes) -> Callable[[int], Residues]:
    """Return what gives an upload's masks, transformed. Raises MalformedInput when the seeds are not its own."""
    ring = parameters.ring
    if header.expansion is Expansion.AES_CTR:
        require(not any(seeds), "seeds of an upload whose seed stands in its header")
        return lambda polynomial: uniform_polynomial(ring, header.seed, polynomial)
    require(header.expansion is Expansion.SEAL_BLAKE2XB, "a score of an upload without a seed")
    require(bodies.seeds_digest(seeds) == header.seed, "the seeds are not those that their digest names")
    masks = Masks((), (seeds,))
    return lambda polynomial: ring.transform(_seal_masks(parameters, masks.seal_seeds_of(polynomial)))


def _check_sum_header(header: Header, key: GroupKey, members: int, max_total_weight: int) -> None:
    _require_epoch(header, key)
    if header.members != members:
        raise KeyHolderRefused(f"the sum is of {header.members} members, the ledger says {members}")
    if members < 2:
        raise KeyHolderRefused("a sum of one update is that update: it is never opened")
    if header.weight > max_total_weight:
        raise KeyHolderRefused(f"the sum has weight {header.weight}, the task allows {max_total_weight}")


def _require_epoch(header: Header, key: GroupKey) -> None:
    if header.epoch != key.epoch:
        raise KeyHolderRefused(f"it is for key epoch {header.epoch}, this key is of epoch {key.epoch}")


def _made(name: BackEndName, parameters: LatticeParameters, secret: Integers) -> BackEnd:
    if name is BackEndName.RING:
        return RingBackEnd(parameters, secret, lambda seeds: _seal_masks(parameters, seeds))
    # importing it loads TenSEAL
    from bfl_fabric.he.packed import seal

    return seal.SealBackEnd(seal.contexts_of(parameters), secret)


def _fresh_secret(head: Head) -> Integers:
    parameters = _parameters(head)
    if _back_end_name(head) is BackEndName.RING:
        return RingBackEnd.generate(parameters)
    from bfl_fabric.he.packed import seal

    return seal.SealBackEnd.generate(seal.contexts_of(parameters))


def _seal_masks(parameters: LatticeParameters, seeds: Sequence[bytes]) -> Residues:
    from bfl_fabric.he.packed import seal

    return seal.contexts_of(parameters).masks(seeds)


def _parameters(head: Head) -> LatticeParameters:
    return parameters_named(_text(head, "parameters_digest"))


def _back_end_name(head: Head) -> BackEndName:
    name = _text(head, "back_end")
    try:
        return BackEndName(name)
    except ValueError as error:
        raise ConfigurationError(f"the scheme packed has no back end {name!r}") from error


def _text(head: Head, name: str) -> str:
    value = head.get(name)
    if not isinstance(value, str):
        raise MalformedInput(f"a request without {name}")
    return value


def _number(head: Head, name: str) -> int:
    value = head.get(name)
    if not isinstance(value, int):
        raise MalformedInput(f"a request without {name}")
    return value
