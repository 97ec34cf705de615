"""What a check-up makes of what it saw."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.authority import CertificateAuthority
from bfl_fabric.network.operations.certificate_checks import expiry
from bfl_fabric.network.operations.process_checks import Seen, clocks, versions
from bfl_fabric.network.operations.renewal import renewed

NOW = datetime(2026, 11, 25, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


def seen(name: str, version: str = "3.1.5", program: str = "3.1.5", skew: float | None = 0.0) -> Seen:
    return Seen(name, version, program, skew)


def authority(days: int = 100) -> CertificateAuthority:
    return CertificateAuthority.create("Org", "ca.Org", NOW - timedelta(days=10), NOW + timedelta(days=days))


def test_equal_versions_are_in_order_and_counted() -> None:
    (finding,) = versions([seen("a"), seen("b")])
    assert finding.ok
    assert "3.1.5, of 2" in finding.found


def test_processes_of_two_versions_are_not_in_order() -> None:
    (finding,) = versions([seen("a"), seen("b", "2.5.16")])
    assert not finding.ok
    assert "b 2.5.16" in finding.found
    assert "restart" in finding.advice


def test_a_process_that_runs_an_older_program_than_lies_on_the_disk_is_not_in_order() -> None:
    (finding,) = versions([seen("a"), seen("b", program="3.1.6")])
    assert not finding.ok
    assert "network restart b" in finding.advice


def test_a_process_that_does_not_tell_its_version_is_not_passed_over() -> None:
    (finding,) = versions([seen("a"), seen("b", "")])
    assert not finding.ok
    assert "b does not tell" in finding.found


def test_nothing_is_said_of_versions_and_clocks_that_nobody_was_asked_for() -> None:
    assert versions([]) == []
    assert clocks([]) == []
    assert clocks([seen("a", skew=None)]) == []


@pytest.mark.parametrize(("skew", "ok"), [(0.5, True), (-29.0, True), (31.0, False), (-4000.0, False)])
def test_clocks_are_in_order_within_half_a_minute(skew: float, ok: bool) -> None:
    (finding,) = clocks([seen("a"), seen("b", skew=skew)])
    assert finding.ok is ok
    assert "the furthest is b" in finding.found


def test_a_certificate_is_in_order_until_it_ends_within_the_days() -> None:
    pem = authority(days=100).certificate_pem
    assert expiry("x", pem, NOW_MS, 99) is None
    soon = expiry("x", pem, NOW_MS, 101)
    assert soon is not None
    assert (soon.ok, soon.found) == (False, "ends 2027-03-05")


def test_a_certificate_that_ended_or_has_not_begun_is_not_in_order() -> None:
    pem = authority(days=1).certificate_pem
    over = expiry("x", pem, NOW_MS + 2 * 86_400_000, 0)
    early = expiry("x", pem, NOW_MS - 20 * 86_400_000, 0)
    assert over is not None
    assert over.found.startswith("ended")
    assert early is not None
    assert "clock" in early.advice


def test_a_renewed_certificate_differs_in_serial_number_and_dates_only() -> None:
    issuer = authority()
    old = issuer.issue_tls("orderer-1", ("127.0.0.1", "orderer-1"))
    key = issuer._key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    new = x509.load_pem_x509_certificate(renewed(old.certificate_pem, issuer.certificate_pem, key, NOW))
    was = x509.load_pem_x509_certificate(old.certificate_pem)
    assert new.serial_number != was.serial_number
    assert new.public_key() == was.public_key()
    assert (new.subject, new.issuer) == (was.subject, was.issuer)
    assert list(new.extensions) == list(was.extensions)
    assert new.not_valid_before_utc == NOW
    assert new.not_valid_after_utc == NOW + timedelta(days=100)
    new.verify_directly_issued_by(x509.load_pem_x509_certificate(issuer.certificate_pem))
    other = authority()
    stranger = CertificateAuthority.create("Else", "ca.Else", NOW, NOW + timedelta(days=1))
    with pytest.raises(ConfigurationError, match="issued it"):
        renewed(old.certificate_pem, stranger.certificate_pem, key, NOW)
    with pytest.raises(ConfigurationError, match="over"):
        renewed(old.certificate_pem, other.certificate_pem, key, NOW + timedelta(days=200))
