"""Rotating an orderer's certificates: its TLS pair, which the channel pins, and its identity, which BFT pins too.

Decides the order: the channel's configuration names the new certificates, then the orderer starts with them; until
then the others agree without it. Which certificates a channel pins is its consensus' (`config_changes`).
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bfl_fabric.domain.ports import Clock
from bfl_fabric.errors import LedgerError, LedgerUnavailable, NotFound, SubmitError
from bfl_fabric.fabric import config_changes
from bfl_fabric.fabric.authority import NodeOU
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.keyfiles import read_secret, write_secret
from bfl_fabric.fabric.orderer_client import OrdererClient
from bfl_fabric.fabric.trust import Consensus, Consenter
from bfl_fabric.network import homes, material
from bfl_fabric.network.bringup import Report, Site
from bfl_fabric.network.material import ORDERER_MSP, Authorities
from bfl_fabric.network.operations import processes
from bfl_fabric.network.operations.identities import put_in_place
from bfl_fabric.network.operations.sites import change_channel, open_site
from bfl_fabric.network.plan import OrdererPlan

FOLLOW_SECONDS = 60.0
_WHOLE = "whole"


def pinned(config: Any, consenter: Consenter) -> Any:
    """Let the channel pin other certificates of the orderer at the consenter's address."""
    if consenter in ChannelConfig("", config).consenters:
        return config
    return config_changes.replace_consenter(config, consenter.endpoint, consenter)


async def rotate_orderer(directory: Path, name: str, clock: Clock, report: Report) -> None:
    """Give an orderer new certificates, in the channel's configuration and in its home; wait until it follows."""
    processes.require_running(directory)
    site = open_site(directory, clock)
    orderer = _orderer(site, name)
    alone = len(site.plan.orderers) == 1
    aside = homes.fabric_directory(site.directory) / f"renewal-{name}"
    report(f"{name}: new certificates{', its TLS key stays: it is the only orderer' if alone else ''}")
    _issue(site, orderer, aside, alone=alone)
    if not alone:
        report(f"{name}: the channel's administrators sign its new certificates into the configuration")
        bft = site.topology.ordering.fabric_consensus is Consensus.BFT
        consenter = material.consenter(aside, orderer, bft=bft)
        await _pin(site, consenter)
    report(f"{name}: starting again with its new certificates")
    _put(site, orderer, aside)
    await processes.restart(site.directory, orderer)
    shutil.rmtree(aside)
    await _following(site, orderer)


async def _pin(site: Site, consenter: Consenter) -> None:
    """Change the configuration; Raft refuses for some seconds after an orderer came back, which counts as absent."""
    deadline = site.clock.now_ms() + FOLLOW_SECONDS * 1000
    while True:
        try:
            await change_channel(site, lambda config: pinned(config, consenter))
            return
        except SubmitError:
            if site.clock.now_ms() > deadline:
                raise
        await site.clock.sleep(0.5)


def _orderer(site: Site, name: str) -> OrdererPlan:
    for orderer in site.plan.orderers:
        if orderer.name == name:
            return orderer
    known = ", ".join(item.name for item in site.plan.orderers)
    raise NotFound(f"{name} is no orderer of this network; it has {known}")


def _issue(site: Site, orderer: OrdererPlan, aside: Path, *, alone: bool) -> None:
    """Make the new certificates aside, as a whole; what is there already goes on being used."""
    if (aside / _WHOLE).exists():
        return
    shutil.rmtree(aside, ignore_errors=True)
    home = material.organization_directory(site.directory, ORDERER_MSP)
    Authorities.load(home).issue(
        material.organization_directory(aside, ORDERER_MSP), orderer.name, NodeOU.ORDERER, {}
    )
    if alone:
        _keep_tls_key(site, orderer, aside)
    (aside / _WHOLE).touch()


def _keep_tls_key(site: Site, orderer: OrdererPlan, aside: Path) -> None:
    from bfl_fabric.network.operations.renewal import renewed

    present = material.identity_directory(site.directory, ORDERER_MSP, orderer.name)
    new = material.identity_directory(aside, ORDERER_MSP, orderer.name)
    authority = material.organization_directory(site.directory, ORDERER_MSP) / "tlsca"
    now = datetime.fromtimestamp(site.clock.now_ms() // 1000, UTC) - timedelta(hours=1)
    certificate = renewed(
        (present / "tls-certificate.pem").read_bytes(),
        (authority / "certificate.pem").read_bytes(),
        read_secret(authority / "key.pem"),
        now,
    )
    (new / "tls-certificate.pem").write_bytes(certificate)
    (new / "tls-key.pem").unlink()
    write_secret(new / "tls-key.pem", read_secret(present / "tls-key.pem"))


def _put(site: Site, orderer: OrdererPlan, aside: Path) -> None:
    """Put the new certificates in place and into the orderer's home; safe to repeat."""
    new = material.identity_directory(aside, ORDERER_MSP, orderer.name)
    if new.exists():
        place = material.identity_directory(site.directory, ORDERER_MSP, orderer.name)
        put_in_place(new, place, aside / "before")
    homes.write_identity(site.directory, orderer)


async def _following(site: Site, orderer: OrdererPlan) -> None:
    """Return once the orderer is active in the channel and as far as the others. Raises LedgerUnavailable."""
    deadline = site.clock.now_ms() + FOLLOW_SECONDS * 1000
    channel = site.topology.channel
    while True:
        try:
            told = [await site.participation(item).info(channel) for item in site.plan.orderers]
            own = told[site.plan.orderers.index(orderer)]
            if own.status == "active" and own.height >= max(item.height for item in told):
                await _answers(site, orderer)
                return
            problem = f"it is {own.status}, at height {own.height}"
        except LedgerError as error:
            problem = str(error)
        if site.clock.now_ms() > deadline:
            raise LedgerUnavailable(f"{orderer.name} does not follow the others: {problem}")
        await site.clock.sleep(0.2)


async def _answers(site: Site, orderer: OrdererPlan) -> None:
    """Ask this very orderer for a block: without a leader it delivers none, and takes no transaction either."""
    server = site.orderer_servers()[site.plan.orderers.index(orderer)]
    administrator = site.administrator(site.topology.organizations[0])
    async with OrdererClient([server], administrator, deadline_seconds=5.0) as client:
        await client.config(site.topology.channel)
