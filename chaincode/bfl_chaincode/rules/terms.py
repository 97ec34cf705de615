"""A task's terms: which of them contradict each other. The limits of each field alone are `limits`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bfl_chaincode.api import refusals
from bfl_chaincode.api.records import THRESHOLD_SCHEME, Organization, TaskSpec
from bfl_chaincode.limits import SUM_LIMIT
from bfl_chaincode.rules.federation import require_distinct


def require_coherent(spec: TaskSpec, organizations: Sequence[Organization]) -> None:
    """Raise the refusal of the first rule that the terms break."""
    _require_keys(spec)
    _require_roles(spec, [item.msp_id for item in organizations if item.active])
    _require_tensors(spec)
    _require_decimals(spec)
    _require_cohort(spec)
    _require_grid(spec)
    _require_pool(spec)


def _require_keys(spec: TaskSpec) -> None:
    """One organization holds the key, or the scheme is the one whose key is shared."""
    roles, threshold, scheme = spec.roles, spec.encryption.threshold, spec.encryption.scheme
    if scheme != THRESHOLD_SCHEME:
        if roles.key_members or threshold or not roles.key_holder:
            raise refusals.KeyTermsContradict(f"scheme {scheme!r}, {_key_terms(spec)}")
        return
    if roles.key_holder or not roles.key_members:
        raise refusals.KeyTermsContradict(f"scheme {scheme!r}, {_key_terms(spec)}")
    require_distinct(roles.key_members, "roles.key_members")
    if tuple(sorted(roles.key_members)) != roles.key_members:
        raise refusals.MembersNotSorted(f"they are {', '.join(roles.key_members)}")
    if not 2 <= threshold <= len(roles.key_members):
        raise refusals.ThresholdOutOfRange(f"threshold {threshold}, {len(roles.key_members)} members")


def _key_terms(spec: TaskSpec) -> str:
    roles = spec.roles
    return (
        f"key holder {roles.key_holder!r}, {len(roles.key_members)} members, "
        f"threshold {spec.encryption.threshold}"
    )


def _require_roles(spec: TaskSpec, active: Sequence[str]) -> None:
    for msp_id in (spec.roles.coordinator, spec.roles.aggregator, *spec.roles.key_holders):
        if msp_id not in active:
            raise refusals.RoleOrganizationUnknown(f"{msp_id} is no active member")
    if spec.roles.aggregator == spec.roles.key_holder:
        raise refusals.RolesNotSeparated(f"{spec.roles.aggregator} would aggregate and hold the key")
    asked = max(spec.verification.attestations, spec.verification.receipts)
    if asked > len(active):
        raise refusals.CommitteeTooLarge(f"{asked} are asked for, {len(active)} organizations are active")


def _require_tensors(spec: TaskSpec) -> None:
    require_distinct([tensor.name for tensor in spec.model.tensors], "model.tensors")
    total = sum(math.prod(tensor.shape) for tensor in spec.model.tensors)
    if total != spec.model.parameter_count:
        raise refusals.TensorsDoNotAddUp(f"they have {total} entries, not {spec.model.parameter_count}")


def _require_decimals(spec: TaskSpec) -> None:
    positive = {"clip": spec.encryption.clip, "learning_rate": spec.training.learning_rate}
    for name, decimal in positive.items():
        if not decimal.strip("0."):
            raise refusals.DecimalOutOfRange(f"{name} is {decimal}")
    if not spec.training.momentum.startswith("0"):
        raise refusals.DecimalOutOfRange(f"momentum is {spec.training.momentum}")


def _require_cohort(spec: TaskSpec) -> None:
    if 0 < spec.cohort.target < spec.cohort.minimum:
        raise refusals.CohortContradiction(f"target {spec.cohort.target}, minimum {spec.cohort.minimum}")


def _require_grid(spec: TaskSpec) -> None:
    bits, weight = spec.encryption.value_bits, spec.encryption.max_total_weight
    if 2 ** (bits - 1) * weight > SUM_LIMIT:
        raise refusals.GridTooWide(f"value_bits is {bits}, max_total_weight {weight}")


def _require_pool(spec: TaskSpec) -> None:
    payable, pool = spec.incentive.per_round * spec.schedule.rounds, spec.incentive.pool
    if payable > pool:
        raise refusals.PoolTooSmall(f"{spec.schedule.rounds} rounds pay up to {payable}, the pool is {pool}")
