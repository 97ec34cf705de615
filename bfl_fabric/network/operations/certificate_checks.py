"""Check-up of certificates: those in the network's directory, and those in the channel's configuration.

Decides what is in order: it has begun, it does not end soon, a process has the certificate that was issued to it, and
the channel trusts the authority that issued it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.trust import Consensus
from bfl_fabric.network import homes, material
from bfl_fabric.network.bringup import Site
from bfl_fabric.network.operations.findings import Finding
from bfl_fabric.network.plan import ContractPlan

_DAY_MS = 86_400_000


def local_certificates(site: Site, days: int) -> list[Finding]:
    """Return what is wrong with certificates in the directory, or that nothing is."""
    found = list(_files(site.directory))
    findings = [
        problem
        for name, pem in found
        if (problem := expiry(name, pem, site.clock.now_ms(), days)) is not None
    ]
    findings += _outdated(site)
    if not findings:
        told = f"{len(found)} in {site.directory}, none ends within {days} days"
        findings.append(Finding("certificate files", True, told))
    return findings


def channel_certificates(site: Site, raw_block: bytes, days: int) -> list[Finding]:
    """Return what is wrong with the certificates in a configuration block, or that nothing is."""
    config = ChannelConfig.from_block(parse_block(raw_block))
    found = list(_configured(config))
    findings = [
        problem
        for name, pem in found
        if (problem := expiry(name, pem, site.clock.now_ms(), days)) is not None
    ]
    findings += _untrusted(site, config)
    if not findings:
        told = f"{len(found)} in configuration {config.sequence}, none ends within {days} days"
        findings.append(Finding("channel's certificates", True, told))
    return findings


def expiry(name: str, pem: bytes, now_ms: int, days: int) -> Finding | None:
    """Return what is wrong with the dates of a certificate."""
    certificate = x509.load_pem_x509_certificate(pem)
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    soon = datetime.fromtimestamp((now_ms + days * _DAY_MS) / 1000, UTC)
    starts, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < starts:
        return Finding(f"certificate {name}", False, f"begins {starts:%Y-%m-%d}", "set this machine's clock")
    if ends > soon:
        return None
    said = "ended" if ends <= now else "ends"
    advice = "`bfl network rotate MSP`, for an authority with --authority, for an orderer `rotate-orderer`"
    return Finding(f"certificate {name}", False, f"{said} {ends:%Y-%m-%d}", advice)


def _files(directory: Path) -> Iterator[tuple[str, bytes]]:
    for pattern in ("**/*certificate.pem", "**/*authority.pem", "**/server.pem"):
        for path in sorted(directory.glob(pattern)):
            if f"{homes.FABRIC}/removed" not in path.as_posix():
                yield str(path.relative_to(directory)), path.read_bytes()


def _outdated(site: Site) -> list[Finding]:
    """Find the programs whose home has another certificate than the one that was issued to them."""
    findings = []
    for process in site.plan.processes:
        if isinstance(process, ContractPlan):
            continue
        home = homes.home_of(site.directory, process)
        issued = material.identity_directory(site.directory, process.msp_id, process.name)
        pairs = (
            (home / "msp" / "signcerts" / "certificate.pem", issued / "certificate.pem"),
            (home / "tls" / "certificate.pem", issued / "tls-certificate.pem"),
        )
        if any(not own.exists() or own.read_bytes() != theirs.read_bytes() for own, theirs in pairs):
            advice = "a rotation was interrupted: run the same rotation again"
            findings.append(
                Finding(f"certificates of {process.name}", False, "not those issued to it", advice)
            )
    return findings


def _configured(config: ChannelConfig) -> Iterator[tuple[str, bytes]]:
    for kind in (config.organizations, config.orderers):
        for trust in kind.values():
            for number, pem in enumerate((*trust.root_certificates, *trust.tls_root_certificates)):
                yield f"authority {number + 1} of {trust.msp_id} in the channel", pem
    for consenter in config.consenters:
        yield (
            f"of the orderer at {consenter.endpoint} in the channel",
            consenter.server_tls_certificate,
        )
        if consenter.identity:
            yield f"(identity) of the orderer at {consenter.endpoint} in the channel", consenter.identity


def _untrusted(site: Site, config: ChannelConfig) -> list[Finding]:
    """Find organizations and orderers whose certificates here are not those that the channel knows."""
    findings = []
    for organization in site.topology.organizations:
        home = material.organization_directory(site.directory, organization.msp_id)
        trust = config.organizations.get(organization.msp_id)
        if trust is None or not _among(
            (home / "ca" / "certificate.pem").read_bytes(), trust.root_certificates
        ):
            advice = "finish what was interrupted: `add-organization`, or `rotate --authority`, once more"
            findings.append(
                Finding(f"authority of {organization.msp_id}", False, "not trusted by the channel", advice)
            )
    bft = site.topology.ordering.fabric_consensus is Consensus.BFT
    for orderer in site.plan.orderers:
        own = material.consenter(site.directory, orderer, bft=bft)
        known = next((item for item in config.consenters if item.endpoint == orderer.main), None)
        if known is None or _key(known.server_tls_certificate) != _key(own.server_tls_certificate):
            advice = f"run `bfl network rotate-orderer {orderer.name}` once more"
            findings.append(
                Finding(f"certificate of {orderer.name}", False, "not the one in the channel", advice)
            )
    return findings


def _among(pem: bytes, roots: Iterable[bytes]) -> bool:
    own = x509.load_pem_x509_certificate(pem)
    return own in [x509.load_pem_x509_certificate(root) for root in roots]


def _key(pem: bytes) -> object:
    """Return the public key of a certificate: what orderers compare."""
    return x509.load_pem_x509_certificate(pem).public_key().public_numbers()  # type: ignore[union-attr]
