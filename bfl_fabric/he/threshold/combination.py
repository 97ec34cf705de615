"""How an aggregate, zeros and the active set's shares open to the sum: added polynomial by polynomial, then read.

Decides that all of them belong to one opening, and that nothing leaves before everything was checked. Keeps one
polynomial of each message at a time. Knows no secret: whoever has these messages can do it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bfl_fabric.domain.ports import OpeningTerms
from bfl_fabric.he.lattice import columns
from bfl_fabric.he.lattice.bodies import KeyName, RawPolynomial
from bfl_fabric.he.lattice.channels import opened_values
from bfl_fabric.he.lattice.messages import Kind, Reader, open_message
from bfl_fabric.he.lattice.parameters import LatticeParameters
from bfl_fabric.he.lattice.threads import each
from bfl_fabric.he.threshold.masks import MaskSum
from bfl_fabric.he.threshold.shares import blamed, raw_share, share_header


def opened_sum(
    parameters: LatticeParameters,
    key: KeyName,
    opening: OpeningTerms,
    aggregate: Reader,
    zeros: Sequence[Path],
    shares: Mapping[str, Path],
) -> NDArray[np.int64]:
    """Return the values of an aggregate whose front has been read, int64[parameter_count].

    Raises:
        MalformedInput: a message is malformed or not of this opening; of a share the text names the holder.
        KeyHolderRefused: they do not open to a well-formed sum.
    """
    count, each_has = aggregate.header.parameter_count, parameters.values_per_polynomial()
    running = MaskSum(parameters, key)
    with ExitStack() as stack:
        parts = [running.add_sum_masks(aggregate)]
        for zero in zeros:
            reader = stack.enter_context(open_message(zero, parameters, Kind.ZERO, digested=False))
            parts.append(running.add_zero_masks(reader))
        names: list[Callable[[], AbstractContextManager[None]]] = [nullcontext] * len(parts)
        digest = running.digest(running.total())
        for member in opening.active:
            expected = share_header(parameters, opening, member, count, digest)
            parts.append(raw_share(parameters, shares[member], expected))
            names.append(partial(blamed, member))

        def opened(item: tuple[int, tuple[RawPolynomial, ...]]) -> NDArray[np.int64]:
            number, raws = item
            total = columns.zero(parameters, raws[0].coefficients)
            for raw, named in zip(raws, names, strict=True):
                with named():
                    total += columns.checked_columns(parameters, raw)
            rows = parameters.ring.reduce(columns.rows(parameters, total))
            values = min(each_has, count - number * each_has)
            return opened_values(parameters, rows, parameters.noise_bound, values)

        return np.concatenate(list(each(opened, enumerate(zip(*parts, strict=True)))))
