"""What takes turns: the product's three schemes, and the same rounds with a scheme that encrypts nothing.

No node of the product can be told to encrypt nothing. The benchmark starts its nodes by a command of its own
(`process`), which gives them `WithPlain` where the product gives them `EncryptionSchemes`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

from bfl_chaincode.api.records import PACKED_SCHEME, THRESHOLD_SCHEME, EncryptionTerms
from bfl_fabric import wiring
from bfl_fabric.domain.ports import SchemeProvider, ThresholdKeys
from bfl_fabric.he.provider import EncryptionSchemes
from bfl_fabric.sdk.terms import TaskTerms
from bfl_fabric.testing.scheme import SCHEME_NAME, PlainProvider, plain_parameters_digest


@dataclass(frozen=True)
class Kind:
    """One kind of round: a word for tables and task ids, the scheme's word in the task, whether it is in the clear."""

    word: str
    scheme: str
    is_plain: bool = False


BASELINE = Kind("plain", SCHEME_NAME, is_plain=True)
KINDS = (
    BASELINE,
    Kind("ckks", "ckks"),
    Kind("packed", PACKED_SCHEME),
    Kind("threshold", THRESHOLD_SCHEME),
    Kind("plain-joint", THRESHOLD_SCHEME, is_plain=True),
)


class WithPlain(EncryptionSchemes):
    """Every scheme of the product, and for terms with plain parameters the one without secrecy."""

    def __init__(self, seed: str) -> None:
        super().__init__()
        self._plain = PlainProvider(seed)

    def _provider(self, terms: EncryptionTerms) -> SchemeProvider:
        return self._plain if _is_plain(terms) else super()._provider(terms)

    def _joint_keys(self, terms: EncryptionTerms) -> ThresholdKeys:
        return self._plain if _is_plain(terms) else super()._joint_keys(terms)


def _is_plain(terms: EncryptionTerms) -> bool:
    return terms.parameters_digest == plain_parameters_digest(
        terms.value_bits, terms.clip, terms.max_total_weight
    )


@contextmanager
def parameters_of(kind: Kind, terms: TaskTerms) -> Iterator[None]:
    """Let a task that is published meanwhile have plain parameters, if it is of a plain kind."""
    if not kind.is_plain:
        yield
        return
    digest = plain_parameters_digest(terms.value_bits, terms.clip, terms.max_total_weight)
    with mock.patch.object(wiring, "choose_parameters", return_value=digest):
        yield
