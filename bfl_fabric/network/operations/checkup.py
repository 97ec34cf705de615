"""A check-up of a Fabric network: everything that can be seen from this machine, each with its remedy.

Decides what counts as in order; asks the processes themselves and believes nothing that was not asked now. Which
checks there are: ports, health, clocks and versions of the processes (`process_checks`), certificates
(`certificate_checks`), and here what the peers know of channel and contract.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from bfl_fabric.domain.ports import Clock
from bfl_fabric.errors import BflError, LedgerError
from bfl_fabric.fabric import deployment
from bfl_fabric.fabric.deployment import ApprovedDefinition, CommittedDefinition
from bfl_fabric.fabric.peer_channels import channel_info, config_block
from bfl_fabric.network.bringup import Site, until_endorsed
from bfl_fabric.network.native import run_files
from bfl_fabric.network.operations.certificate_checks import channel_certificates, local_certificates
from bfl_fabric.network.operations.definitions import package_id
from bfl_fabric.network.operations.findings import Finding
from bfl_fabric.network.operations.process_checks import check_processes
from bfl_fabric.network.operations.sites import open_site
from bfl_fabric.network.serving import SERVER
from bfl_fabric.network.topology import OrganizationPlan

ANSWER_SECONDS = 10.0
SETTLING_SECONDS = 5.0
T = TypeVar("T")
Ask = Callable[[Site, OrganizationPlan], Awaitable[T]]


async def check_up(directory: Path, clock: Clock, days: int) -> list[Finding]:
    """Return what is found of a network. Certificates that end within so many days are not in order."""
    site = open_site(directory, clock)
    findings = local_certificates(site, days)
    findings += await check_processes(site, run_files(site.directory))
    if run_files(site.directory).find(SERVER) is None:
        advice = f"start it with `bfl network up --directory {directory}`"
        return [*findings, Finding("network", False, "it is not running on this machine", advice)]
    checks = await asyncio.gather(
        _channel(site, days), _heights(site), _contract(site), _endorsements(site), return_exceptions=True
    )
    for result in checks:
        if isinstance(result, BflError | TimeoutError):
            findings.append(Finding("channel", False, str(result), "look at `bfl network status`"))
        elif isinstance(result, BaseException):
            raise result
        else:
            findings += result
    return findings


async def _channel(site: Site, days: int) -> list[Finding]:
    """Look at the certificates in the configuration that the first peer that answers has."""
    for organization in site.topology.organizations:
        try:
            async with site.peer_client(organization) as peer:
                raw = await _soon(config_block(peer, site.topology.channel))
            return channel_certificates(site, raw, days)
        except (LedgerError, TimeoutError):
            continue
    return [Finding("configuration", False, "no peer tells it", "start the peers")]


async def _heights(site: Site) -> list[Finding]:
    """Compare how many blocks the peers have; blocks on their way get a few seconds to arrive."""
    deadline = site.clock.now_ms() + SETTLING_SECONDS * 1000
    while True:
        known = await _each(site, _height)
        heights = {value for value in known.values() if isinstance(value, int)}
        if len(heights) == 1 or site.clock.now_ms() > deadline:
            break
        await site.clock.sleep(0.2)
    told = ", ".join(f"{name} {value}" for name, value in known.items())
    ok = len(heights) == 1 and all(isinstance(value, int) for value in known.values())
    return [Finding("blocks", ok, told, "see the log of the peer that is behind: `bfl network logs PEER`")]


async def _height(site: Site, organization: OrganizationPlan) -> int:
    async with site.peer_client(organization) as peer:
        return (await channel_info(peer, site.topology.channel)).height


async def _contract(site: Site) -> list[Finding]:
    """Look at each peer: which definition holds, which was approved, whether that package is installed."""
    known = await _each(site, _contract_state)
    findings = [_contract_finding(site, name, state) for name, state in known.items()]
    versions = {
        (state[0].definition.version, state[0].definition.sequence)
        for state in known.values()
        if not isinstance(state, Exception) and state[0] is not None
    }
    if len(versions) > 1:
        told = ", ".join(f"{version} (sequence {sequence})" for version, sequence in sorted(versions))
        findings.append(
            Finding("contract", False, f"peers have {told}", "wait until all have the same blocks")
        )
    return findings


_State = tuple[CommittedDefinition | None, ApprovedDefinition | None, frozenset[str]]


async def _contract_state(site: Site, organization: OrganizationPlan) -> _State:
    channel, name = site.topology.channel, site.topology.chaincode
    async with site.peer_client(organization) as peer:
        committed = await deployment.committed(peer, channel, name)
        sequence = 0 if committed is None else committed.definition.sequence
        approved = await deployment.approved(peer, channel, name, sequence)
        installed = frozenset(item.package_id for item in await deployment.installed(peer))
    return committed, approved, installed


def _contract_finding(site: Site, msp_id: str, state: _State | Exception) -> Finding:
    what = f"contract at {site.plan.peer_of(msp_id).name}"
    if isinstance(state, Exception):
        return Finding(what, False, str(state), "start the peer")
    committed, approved, installed = state
    if committed is None:
        return Finding(what, False, "no definition holds", "let `bfl network up` commit it")
    told = f"version {committed.definition.version}, sequence {committed.definition.sequence}"
    if approved is None or not approved.package_id:
        advice = "it endorses again after the next `bfl network upgrade`"
        return Finding(what, False, f"{told}, not approved with a package by {msp_id}", advice)
    if approved.package_id not in installed:
        return Finding(what, False, f"{told}, {approved.package_id} is not installed", "install that package")
    own = package_id(site, msp_id)
    if own != approved.package_id:
        advice = "finish the upgrade: run `bfl network upgrade` with the same version again"
        return Finding(what, False, f"{told}, its service answers for {own}", advice)
    return Finding(what, True, f"{told}, approved, installed, served as approved")


async def _endorsements(site: Site) -> list[Finding]:
    """Let each gateway endorse a question, which needs enough endorsers that it can find."""

    async def endorse(site: Site, organization: OrganizationPlan) -> None:
        await until_endorsed(site, organization)

    known = await _each(site, endorse)
    return [
        Finding(
            f"gateway of {name}",
            error is None,
            "finds enough endorsers" if error is None else f"no endorsement: {error or 'not in time'}",
            "start the peers and contract services of enough organizations for a majority",
        )
        for name, error in known.items()
    ]


async def _each(site: Site, ask: Ask[T]) -> dict[str, T | Exception]:
    """Ask each organization's peer; what cannot be had is the error that says why."""

    async def one(organization: OrganizationPlan) -> T | Exception:
        try:
            return await _soon(ask(site, organization))
        except (BflError, TimeoutError) as error:
            return error if str(error) else TimeoutError(f"no answer within {ANSWER_SECONDS:.0f} s")

    answers = await asyncio.gather(*map(one, site.topology.organizations))
    return {item.msp_id: answer for item, answer in zip(site.topology.organizations, answers, strict=True)}


async def _soon(work: Awaitable[T]) -> T:
    async with asyncio.timeout(ANSWER_SECONDS):
        return await work
