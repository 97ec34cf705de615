"""The benchmark reads its times off the ledger, and its plain scheme is within reach of nobody else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bfl_chaincode.api.records import THRESHOLD_SCHEME, EncryptionTerms
from bfl_fabric import wiring
from bfl_fabric.errors import ConfigurationError
from bfl_fabric.he.provider import EncryptionSchemes
from bfl_fabric.sdk.terms import TaskTerms, require_scheme
from bfl_fabric.testing.scheme import SCHEME_NAME, plain_parameters_digest
from tests.benchmarks.rounds.__main__ import main, table
from tests.benchmarks.rounds.moments import PHASES, Moment, RoundTimes, round_times
from tests.benchmarks.rounds.schemes import KINDS, WithPlain, parameters_of

PLAIN = EncryptionTerms(SCHEME_NAME, plain_parameters_digest(16, "1", 1000), 16, "1", 1000, 0)
SINGLE = {
    "round:Open": 1000,
    "round:CommitUpdate": 1200,
    "round:Seal": 1500,
    "round:ProposeAggregate": 1900,
    "round:ConfirmAggregate": 2000,
    "round:PostScores": 2400,
    "round:ReleaseShare": 2500,
    "reward:Settle": 3000,
}
SHARED = {**SINGLE, "opening:Begin": 2300}


def moments_of(at: dict[str, int]) -> list[Moment]:
    return [Moment(name, "task", 2, moment) for name, moment in at.items()]


def test_a_round_lasts_from_its_opening_to_its_released_sum() -> None:
    assert round_times(moments_of(SINGLE)).seconds == 1.5


@pytest.mark.parametrize("at", [SINGLE, SHARED], ids=["single", "shared"])
def test_the_phases_of_a_round_add_up_to_it(at: dict[str, int]) -> None:
    phases = round_times(moments_of(at)).phases
    assert list(phases) == list(PHASES)
    assert sum(phases.values()) == pytest.approx(2.0)


def test_a_phase_that_a_round_does_not_have_takes_no_time() -> None:
    assert round_times(moments_of(SINGLE)).phases["offer, begin"] == 0
    assert round_times(moments_of(SHARED)).phases["offer, begin"] == pytest.approx(0.3)


@pytest.mark.parametrize("missing", ["round:Open", "round:ReleaseShare"])
def test_a_round_that_is_not_whole_is_not_counted(missing: str) -> None:
    with pytest.raises(ValueError, match="no whole round"):
        round_times([moment for moment in moments_of(SINGLE) if moment.name != missing])


def test_every_row_is_held_against_the_plain_one() -> None:
    phases = dict.fromkeys(PHASES, 0.1)
    times = {"plain": [RoundTimes(2.0, phases)] * 3, "ckks": [RoundTimes(3.0, phases)] * 3, "packed": []}
    assert [row[:4] for row in table("a load", times).rows] == [
        ("plain", "3", "2.00", "1.00"),
        ("ckks", "3", "3.00", "1.50"),
    ]


def test_the_product_knows_no_scheme_without_secrecy() -> None:
    with pytest.raises(ConfigurationError):
        require_scheme(SCHEME_NAME)
    with pytest.raises(ConfigurationError):
        EncryptionSchemes().public(PLAIN, b"")
    joint = replace(PLAIN, scheme=THRESHOLD_SCHEME, threshold=2)
    with pytest.raises(ConfigurationError):
        EncryptionSchemes().joint(joint, b"")


def test_the_benchmarks_nodes_know_it_by_its_parameters_alone() -> None:
    schemes = WithPlain("seed")
    assert schemes._provider(PLAIN) is schemes._plain
    for kind in KINDS:
        if not kind.is_plain:
            digest = wiring.choose_parameters(kind.scheme, 16, 1000, 5, 100)
            terms = replace(PLAIN, scheme=kind.scheme, parameters_digest=digest)
            assert schemes._provider(terms) is not schemes._plain


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.word)
def test_a_task_gets_plain_parameters_only_where_it_is_meant_to(kind: object) -> None:
    terms = TaskTerms(task_id="task", title="title")
    with parameters_of(kind, terms):
        digest = wiring.choose_parameters(THRESHOLD_SCHEME, 16, 1000, 5, 100)
    plain = plain_parameters_digest(terms.value_bits, terms.clip, terms.max_total_weight)
    assert (digest == plain) is kind.is_plain
    assert wiring.choose_parameters(THRESHOLD_SCHEME, 16, 1000, 5, 100) != plain


@pytest.mark.parametrize("option", ["--loads", "--schemes"])
def test_a_word_that_it_does_not_know_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([option, "threshold,breast_cancer"])
    assert ended.value.code == 2
    assert "breast_cancer" in capsys.readouterr().err
