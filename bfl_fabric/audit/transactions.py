"""The contract's transactions in their order: who sent what, when, and what was asked for.

Decides how they are kept: one text per transaction in a spool, with what many have in common (name, sender, kinds of
records written) said once. What a transaction wrote is left to `history`.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from bfl_chaincode.api.canonical import Json
from bfl_fabric.audit.findings import Place
from bfl_fabric.fabric.recent import Recent
from bfl_fabric.fabric.spool import Spool

_HEAD = struct.Struct("<QqI")
"""Block, moment, and how many bytes the transaction's id has; it follows, then the request."""


class Sender(NamedTuple):
    """What the checks ask of the certificate that signed a transaction."""

    msp_id: str
    common_name: str
    ou: str
    role: str


class Transaction(NamedTuple):
    """A valid transaction of the contract: the `order`-th of the ledger, sent by the holder of a certificate.

    `name` is `contract:Name`, `at` its moment; its one argument, the request, is kept beside it
    (`Transactions.request`). `types` are the object types of the keys that it wrote, "" among them for a key that is
    none of the contract's.
    """

    order: int
    transaction_id: str
    block: int
    name: str
    at: int
    sender: Sender
    types: frozenset[str]

    @property
    def msp_id(self) -> str:
        return self.sender.msp_id

    @property
    def common_name(self) -> str:
        return self.sender.common_name

    @property
    def ou(self) -> str:
        return self.sender.ou

    @property
    def role(self) -> str:
        return self.sender.role

    @property
    def place(self) -> Place:
        return Place(self.block, self.transaction_id)


Sort: TypeAlias = tuple[str, Sender, frozenset[str]]
"""What a transaction has in common with many others: its name, its sender, the types of what it wrote."""


class Transactions:
    """All transactions of a ledger in order. About a dozen bytes of memory each. Raises StorageFull."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._places = array("Q")
        self._sort_of = array("I")
        self._sorts: list[Sort] = []
        self._numbers: dict[Sort, int] = {}
        self._recent: Recent[int, Transaction] = Recent()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Transaction]:
        return map(self._read, range(len(self)))

    def __getitem__(self, order: int) -> Transaction:
        found = self._recent.get(order)
        return found if found is not None else self._recent.remember(order, self._read(order))

    def append(self, transaction: Transaction, request: bytes) -> None:
        """Take in the next transaction and what it asked for in JSON."""
        identifier = transaction.transaction_id.encode("utf-8", "surrogatepass")
        head = _HEAD.pack(transaction.block, transaction.at, len(identifier))
        self._places.append(self._spool.put(head + identifier + request))
        sort = (transaction.name, transaction.sender, transaction.types)
        number = self._numbers.setdefault(sort, len(self._sorts))
        if number == len(self._sorts):
            self._sorts.append(sort)
        self._sort_of.append(number)

    def select(self, wanted: Callable[[str, frozenset[str]], bool]) -> Iterator[Transaction]:
        """Yield in order the transactions whose name and types are wanted."""
        chosen = [wanted(name, types) for name, _, types in self._sorts]
        return (self._read(order) for order, number in enumerate(self._sort_of) if chosen[number])

    def request(self, order: int) -> Json:
        """Return what a transaction asked for."""
        kept = self._spool.get(self._places[order])
        start = _HEAD.size + _HEAD.unpack_from(kept)[2]
        request: Json = json.loads(kept[start:].decode())
        return request

    def _read(self, order: int) -> Transaction:
        kept = self._spool.get(self._places[order])
        block, at, size = _HEAD.unpack_from(kept)
        identifier = kept[_HEAD.size : _HEAD.size + size].decode("utf-8", "surrogatepass")
        name, sender, types = self._sorts[self._sort_of[order]]
        return Transaction(order, identifier, block, name, at, sender, types)
