"""The audit of a run: everything that the ledger and the blobs say, held against what follows from them.

Decides the order of the checks and that none is left out because another failed. It trusts the genesis digest and
nothing else. What each check asks is left to the module that is named after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bfl_chaincode.api.records import KeyEpoch, Round, Task
from bfl_fabric.audit.accounts import check_accounts
from bfl_fabric.audit.agreement import check_agreement
from bfl_fabric.audit.authority import check_authority
from bfl_fabric.audit.blobs import BlobFinder, Blobs
from bfl_fabric.audit.ceremonies import check_ceremonies
from bfl_fabric.audit.chain import Chain, read_chain
from bfl_fabric.audit.ciphertexts import RoundCiphertexts, Workshop, scheme_of
from bfl_fabric.audit.collection import check_collection
from bfl_fabric.audit.descent import check_descent
from bfl_fabric.audit.epochs import check_epochs
from bfl_fabric.audit.findings import REPORT_VERSION, AuditReport, Check, Findings, Place
from bfl_fabric.audit.history import History
from bfl_fabric.audit.joint_keys import check_joint_keys, joint_schemes
from bfl_fabric.audit.opened import RoundResult
from bfl_fabric.audit.openings import check_openings
from bfl_fabric.audit.phases import check_phases
from bfl_fabric.audit.settlements import check_settlements
from bfl_fabric.audit.shared_rounds import SharedRound, check_grants
from bfl_fabric.audit.statedb import check_state_database
from bfl_fabric.audit.tasks import check_tasks
from bfl_fabric.domain.ports import Arithmetic, SchemeProvider
from bfl_fabric.fabric.collector import rare_collections

Progress = Callable[[Check, int], None]
"""Called whenever a check has looked at more, with how much it has looked at in all."""

LEDGER_CHECKS: tuple[Callable[[History, Findings], None], ...] = (
    check_authority,
    check_tasks,
    check_ceremonies,
    check_epochs,
    check_phases,
    check_collection,
    check_agreement,
    check_openings,
    check_settlements,
    check_accounts,
    check_descent,
)
"""Everything that needs the ledger alone, and more of it than one transaction at a time."""


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What an audit is told beside its inputs.

    With `allow_missing` a withheld blob is reported and does not fail the audit. `known_block` is the digest of a
    block that the auditor has seen before: the chain must hold it, else somebody cut blocks off. `state_database`
    is the embedded ledger's `state.db`, compared when it is given. `workers` is how many processes check the
    signatures of a long chain, by default one per core.
    """

    allow_missing: bool = False
    chaincode: str = "bfl"
    known_block: str = ""
    state_database: Path | None = None
    workers: int | None = None


def verify_run(
    blocks: Iterable[bytes],
    genesis_digest: str,
    blobs: BlobFinder,
    schemes: SchemeProvider,
    arithmetic: Arithmetic,
    progress: Progress | None = None,
    *,
    options: AuditOptions | None = None,
) -> AuditReport:
    """Audit a channel's blocks, from the first on, and the blobs that they name.

    Never raises for what it finds: everything wrong is a failure in the report. A broken block ends the reading of the
    chain; what came before it, and the blobs, are checked nevertheless. Raises WorkerFailed when a process that checks
    signatures is lost, StorageFull when there is no room for temporary files.
    """
    chosen = options or AuditOptions()
    findings = Findings(progress=progress)
    with rare_collections():
        chain = read_chain(blocks, genesis_digest, chosen.chaincode, findings, chosen.workers)
        if chosen.known_block and not chain.holds(chosen.known_block):
            text = f"the chain does not hold the known block {chosen.known_block}: blocks were cut off"
            findings.fail(Check.BLOCKS, text, Place(chain.height))
        if chosen.state_database is not None:
            check_state_database(chosen.state_database, chain.state, chain.height, findings)
        check_history(chain.history, blobs, schemes, arithmetic, findings)
    return make_report(chain, genesis_digest, chosen, findings)


def check_history(
    history: History, finder: BlobFinder, schemes: SchemeProvider, arithmetic: Arithmetic, findings: Findings
) -> None:
    """Make every check of records and blobs."""
    for check in LEDGER_CHECKS:
        check(history, findings)
    blobs = Blobs(finder, findings)
    blobs.check_files()
    for task in history.current(Task):
        _check_task(Workshop(history, task.value.spec, blobs, schemes, arithmetic, findings))


def make_report(chain: Chain, genesis_digest: str, options: AuditOptions, findings: Findings) -> AuditReport:
    """Return the report of what was found."""
    return AuditReport(
        version=REPORT_VERSION,
        passed=not findings.failures and (options.allow_missing or not findings.withheld),
        height=chain.height,
        genesis_digest=genesis_digest,
        tip_digest=chain.tip_digest,
        allow_missing=options.allow_missing,
        counts=findings.counted(),
        failures=tuple(findings.failures),
        withheld=tuple(findings.withheld[digest] for digest in sorted(findings.withheld)),
    )


def _check_task(shop: Workshop) -> None:
    check_grants(shop)
    if shop.spec.roles.key_members:
        _check_shared(shop)
        return
    task_id = shop.spec.task_id
    schemes = {epoch.value.epoch: scheme_of(shop, epoch) for epoch in shop.history.current(KeyEpoch, task_id)}
    for round_ in shop.history.current(Round, task_id):
        scheme = schemes.get(round_.value.epoch)
        if scheme is not None:
            RoundCiphertexts(shop, scheme, round_).check()
        RoundResult(shop, scheme, round_).check()


def _check_shared(shop: Workshop) -> None:
    """A task whose key several hold: every score is made again of the shares, so the total needs no bounds."""
    check_joint_keys(shop)
    schemes = joint_schemes(shop)
    for round_ in shop.history.current(Round, shop.spec.task_id):
        scheme = schemes.get(round_.value.epoch)
        if scheme is not None:
            sound = RoundCiphertexts(shop, scheme, round_).check()
            SharedRound(shop, scheme, round_, sound).check()
        RoundResult(shop, None, round_).check()
