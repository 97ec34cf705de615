from __future__ import annotations

import time
from pathlib import Path

import pytest

from bfl_fabric.domain.ports import TransferCaller
from bfl_fabric.errors import ConfigurationError, NotTrusted
from bfl_fabric.transport.credentials import NodeCredentials, TrustedAuthorities
from tests.unit.transport.throwaway_tls import Authority, Consortium, key_pem, new_key, pem

NOW_MS = time.time_ns() // 1_000_000
DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def consortium(tmp_path: Path) -> Consortium:
    return Consortium(tmp_path)


def test_a_caller_is_the_common_name_and_the_organization_whose_authority_signed(
    consortium: Consortium,
) -> None:
    _, certificate = consortium.authorities["BetaMSP"].issue("clinic-1")
    caller = consortium.trust().identify(pem(certificate), NOW_MS)
    assert caller == TransferCaller("BetaMSP", "clinic-1")


def test_an_authority_that_copies_another_ones_name_vouches_for_nobody(consortium: Consortium) -> None:
    impostor = Authority("AlphaMSP", subject=consortium.authorities["AlphaMSP"].subject)
    _, certificate = impostor.issue("aggregator.alpha")
    with pytest.raises(NotTrusted, match="no organization"):
        consortium.trust().identify(pem(certificate), NOW_MS)


def test_two_organizations_with_equally_named_authorities_are_told_apart_by_key() -> None:
    first, second = Authority("Same"), Authority("Same")
    trust = TrustedAuthorities({"AlphaMSP": [pem(first.certificate)], "BetaMSP": [pem(second.certificate)]})
    assert trust.identify(pem(second.issue("n")[1]), NOW_MS).msp_id == "BetaMSP"
    assert trust.identify(pem(first.issue("n")[1]), NOW_MS).msp_id == "AlphaMSP"


def test_a_certificate_proves_nothing_before_and_after_its_time(consortium: Consortium) -> None:
    trust = consortium.trust()
    _, certificate = consortium.authorities["BetaMSP"].issue("clinic-1", begins=-1, ends=1)
    trust.identify(pem(certificate), NOW_MS)
    for moment in (NOW_MS - 2 * DAY_MS, NOW_MS + 2 * DAY_MS):
        with pytest.raises(NotTrusted, match="not valid"):
            trust.identify(pem(certificate), moment)


def test_trust_that_is_withdrawn_ends_at_once_for_known_certificates(consortium: Consortium) -> None:
    trust = consortium.trust()
    certificate = pem(consortium.authorities["BetaMSP"].issue("clinic-1")[1])
    trust.identify(certificate, NOW_MS)
    generation = trust.generation
    trust.replace({"AlphaMSP": [pem(consortium.authorities["AlphaMSP"].certificate)]})
    assert trust.generation > generation
    with pytest.raises(NotTrusted):
        trust.identify(certificate, NOW_MS)
    with pytest.raises(NotTrusted):
        trust.pem("BetaMSP")


def test_replacing_trust_by_the_same_changes_nothing(consortium: Consortium) -> None:
    trust = consortium.trust()
    organizations = {msp: [pem(authority.certificate)] for msp, authority in consortium.authorities.items()}
    trust.replace(organizations)
    assert trust.generation == 0


def test_an_authoritys_text_may_hold_several_certificates(consortium: Consortium) -> None:
    old, new = Authority("DeltaMSP"), Authority("DeltaMSP")
    trust = TrustedAuthorities({"DeltaMSP": [pem(old.certificate) + pem(new.certificate)]})
    assert trust.identify(pem(new.issue("n")[1]), NOW_MS).msp_id == "DeltaMSP"
    assert trust.identify(pem(old.issue("n")[1]), NOW_MS).msp_id == "DeltaMSP"


def test_an_authority_shared_by_two_organizations_is_refused(consortium: Consortium) -> None:
    shared = pem(consortium.authorities["AlphaMSP"].certificate)
    with pytest.raises(ConfigurationError, match="share the key"):
        TrustedAuthorities({"AlphaMSP": [shared], "BetaMSP": [shared]})


def test_trust_needs_authorities(consortium: Consortium) -> None:
    _, leaf = consortium.authorities["AlphaMSP"].issue("not an authority")
    with pytest.raises(ConfigurationError, match="nobody"):
        TrustedAuthorities({})
    with pytest.raises(ConfigurationError, match="may not sign"):
        TrustedAuthorities({"AlphaMSP": [pem(leaf)]})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        TrustedAuthorities({"AlphaMSP": [b"no certificate"]})


@pytest.mark.parametrize("text", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_unreadable_certificates_are_not_trusted(consortium: Consortium, text: bytes) -> None:
    with pytest.raises(NotTrusted):
        consortium.trust().identify(text, NOW_MS)


def test_credentials_refuse_a_key_that_is_not_the_certificates(consortium: Consortium) -> None:
    certificate, key = consortium.files(consortium.authorities["AlphaMSP"], "node")
    key.write_bytes(key_pem(new_key()))
    with pytest.raises(ConfigurationError, match="is not the key of"):
        NodeCredentials(certificate, key, consortium.trust())


def test_credentials_name_the_missing_file_and_never_the_key(consortium: Consortium) -> None:
    certificate, key = consortium.files(consortium.authorities["AlphaMSP"], "node")
    credentials = NodeCredentials(certificate, key, consortium.trust())
    secret_line = key.read_text().splitlines()[1]
    assert secret_line not in repr(credentials)
    assert "key" not in repr(credentials)
    key.write_bytes(b"no key")
    with pytest.raises(ConfigurationError) as caught:
        NodeCredentials(certificate, key, consortium.trust())
    assert "no key" not in str(caught.value)
    key.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        NodeCredentials(certificate, key, consortium.trust())


def test_remembered_certificates_are_bounded(consortium: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bfl_fabric.transport.credentials._REMEMBERED_CERTIFICATES", 3)
    trust = consortium.trust()
    for number in range(10):
        certificate = pem(consortium.authorities["AlphaMSP"].issue(f"node-{number}")[1])
        assert trust.identify(certificate, NOW_MS).common_name == f"node-{number}"
        assert len(trust._vouched) <= 3
