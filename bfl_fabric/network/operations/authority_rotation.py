"""Replacing the authorities of an organization without a moment in which it is not trusted.

    1. the channel trusts the old and the new authority          organizations/MSP/next
    2. everybody of the organization gets certificates of the new one; the peer trusts both locally
                                                                 organizations/MSP/retiring
    3. the channel trusts the new authority alone                organizations/MSP/retired
    4. the peer, too                                             none of them

Decides the order, and reads from these directories how far it came. What the old authority's members signed before
stays good: verifiers judge a block by the configuration of its time.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bfl_fabric.domain.ports import Clock
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric import config_changes
from bfl_fabric.fabric.channel import ChannelConfig
from bfl_fabric.fabric.trust import OrganizationTrust
from bfl_fabric.network import material
from bfl_fabric.network.bringup import Report, Site
from bfl_fabric.network.material import RETIRING, Authorities
from bfl_fabric.network.operations import processes
from bfl_fabric.network.operations.rotation import member, renew, restart_peer
from bfl_fabric.network.operations.sites import change_channel, open_site
from bfl_fabric.network.topology import OrganizationPlan

_NEXT, _RETIRED = "next", "retired"
_AUTHORITIES = ("ca", "tlsca")


def trusted_by(config: Any, msp_id: str, roots: Sequence[bytes], tls_roots: Sequence[bytes]) -> Any:
    """Let the channel trust these authorities of an organization and no other. Raises ConfigurationError."""
    known = ChannelConfig("", config).organizations.get(msp_id)
    if known is None:
        raise ConfigurationError(f"{msp_id} is no organization of the channel")
    if (known.root_certificates, known.tls_root_certificates) == (tuple(roots), tuple(tls_roots)):
        return config
    trust = OrganizationTrust(
        msp_id, known.name, tuple(roots), tuple(tls_roots), known.anchor_peers, known.admins
    )
    return config_changes.replace_msp(config, known.name, trust)


async def rotate_authority(directory: Path, msp_id: str, clock: Clock, report: Report) -> None:
    """Give an organization new authorities, and everybody of it new certificates from them."""
    processes.require_running(directory)
    site = open_site(directory, clock)
    organization = member(site, msp_id)
    home = material.organization_directory(site.directory, msp_id)
    if (home / _RETIRED).exists():
        await _finish(site, organization, report)
        return
    if not (home / RETIRING).exists():
        report(f"{msp_id}: the channel is told to trust its old and its new authority")
        _make_next(home, site.topology.validity_days, msp_id, clock)
        both = [_certificates(home), _certificates(home / _NEXT)]
        roots, tls_roots = zip(*both, strict=True)
        await change_channel(site, lambda config: trusted_by(config, msp_id, roots, tls_roots))
        _retire(home)
    _succeed(home)
    await renew(site, organization, report)
    report(f"{msp_id}: the channel is told to trust its new authority alone")
    root, tls_root = _certificates(home)
    await change_channel(site, lambda config: trusted_by(config, msp_id, (root,), (tls_root,)))
    _forget(home)
    await _finish(site, organization, report)


async def _finish(site: Site, organization: OrganizationPlan, report: Report) -> None:
    """Let the peer, too, trust the new authority alone."""
    await restart_peer(site, organization, report)
    shutil.rmtree(material.organization_directory(site.directory, organization.msp_id) / _RETIRED)


def _certificates(place: Path) -> tuple[bytes, bytes]:
    first, second = (place / name / "certificate.pem" for name in _AUTHORITIES)
    return first.read_bytes(), second.read_bytes()


def _make_next(home: Path, validity_days: int, msp_id: str, clock: Clock) -> None:
    """Make the new authorities, as a whole or not at all."""
    from datetime import UTC, datetime

    if (home / _NEXT).exists():
        return
    aside = home / ".next"
    shutil.rmtree(aside, ignore_errors=True)
    now = datetime.fromtimestamp(clock.now_ms() // 1000, UTC)
    Authorities.create(aside, msp_id, validity_days, now)
    aside.rename(home / _NEXT)


def _retire(home: Path) -> None:
    """Keep the certificates of the old authorities apart while the peer has to trust them, too."""
    aside = home / ".retiring"
    shutil.rmtree(aside, ignore_errors=True)
    for name in _AUTHORITIES:
        (aside / name).mkdir(parents=True)
        shutil.copyfile(home / name / "certificate.pem", aside / name / "certificate.pem")
    aside.rename(home / RETIRING)


def _succeed(home: Path) -> None:
    """Let the new authorities take the place of the old, whose keys are not needed any more."""
    for name in _AUTHORITIES:
        if (home / _NEXT / name).exists():
            shutil.rmtree(home / name, ignore_errors=True)
            (home / _NEXT / name).rename(home / name)
    shutil.rmtree(home / _NEXT, ignore_errors=True)


def _forget(home: Path) -> None:
    (home / RETIRING).rename(home / _RETIRED)
