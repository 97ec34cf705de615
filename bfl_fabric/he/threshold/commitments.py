"""Public commitments to the sharing polynomials: what a private share is held against when it is dealt.

A member's S^(k)(X) = s^(k) + c_1^(k)·X + … + c_(t−1)^(k)·X^(t−1). It publishes of each coefficient c_m the K
polynomials W_m^(k) = a·c_m^(k) + e and one more, W_m^(K) = Σ_k a′^(k)·c_m^(k) + e′; of the constant term W_0^(k) is
−b^(k). The points are small, so Σ_m x^m·W_m is a·S^(k)(x) (and Σ a′^(k)·S^(k)(x)) plus a small error, for every
member's x: Feldman's secret sharing (1987), with learning with errors in the place of discrete logarithms. Another
share with a small error would be a short solution of ring-SIS. So a share that passes lies on the dealer's one
polynomial of degree t − 1, and that one's constant term is the secret in its b.

e′ is a sum of K errors, so that the commitments are as good as samples of ring-learning-with-errors for each c_m^(k).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bfl_fabric.errors import KeyHolderRefused, MalformedInput
from bfl_fabric.he.lattice.channels import opened_values
from bfl_fabric.he.lattice.randomness import ERROR_BOUND
from bfl_fabric.he.lattice.ring import Residues
from bfl_fabric.he.threshold.plan import KeyPlan


def check_count(plan: KeyPlan) -> int:
    """Return how many polynomials W a member publishes beside its b: W_0^(K), then W_1^(0) … W_1^(K), W_2^(0) …"""
    return 1 + (plan.threshold - 1) * (plan.parameters.polynomials_per_mask + 1)


def commitment(
    plan: KeyPlan, public_share: Sequence[Residues], checks: Sequence[Residues], point: int
) -> list[Residues]:
    """Return the commitment to the private share at `point`: K + 1 polynomials, transformed.

    Args:
        plan: of the epoch.
        public_share: the b^(k) of a member, or of the joint key.
        checks: the W of a member, or their sums over all members.
        point: of the member whose share it is.
    """
    ring, each = plan.parameters.ring, plan.parameters.polynomials_per_mask + 1
    constant = [ring.subtract(np.zeros_like(part), part) for part in public_share] + [checks[0]]
    rows = [constant, *(list(checks[start : start + each]) for start in range(1, len(checks), each))]
    values = rows[-1]
    for row in rows[-2::-1]:
        values = [
            ring.reduce(value * np.uint64(point) + part) for value, part in zip(values, row, strict=True)
        ]
    return values


def error_bounds(plan: KeyPlan, point: int) -> list[int]:
    """Return the largest magnitude of the error in each polynomial of one member's commitment for this point."""
    each = plan.parameters.polynomials_per_mask
    powers = sum(point**power for power in range(plan.threshold))
    return [ERROR_BOUND * powers] * each + [ERROR_BOUND * each * powers]


def require_committed(
    plan: KeyPlan, share: Sequence[Residues], committed: Sequence[Residues], point: int
) -> None:
    """Check a private share, K polynomials, against its dealer's commitment.

    Raises:
        MalformedInput: the share is another one.
    """
    ring, each = plan.parameters.ring, plan.parameters.polynomials_per_mask
    errors = [
        ring.subtract(part, ring.product(plan.public_polynomial, own))
        for part, own in zip(committed[:each], share, strict=True)
    ]
    last = committed[each]
    for public, own in zip(plan.check_polynomials, share, strict=True):
        last = ring.subtract(last, ring.product(public, own))
    try:
        for error, bound in zip([*errors, last], error_bounds(plan, point), strict=True):
            # an opened polynomial without values: nothing but an error within the bound, the same modulo all primes
            opened_values(plan.parameters, ring.inverse(error), bound, 0)
    except KeyHolderRefused as problem:
        raise MalformedInput("the private share is not the one that the dealer is committed to") from problem
