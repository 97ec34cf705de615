"""The report is one file that stands alone, shows what it was given, and cannot be made to run anything."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import CeremonyView, KeyEpoch, RoundView, from_json
from bfl_fabric.audit import stylesheet
from bfl_fabric.audit.report import render, write_report
from bfl_fabric.audit.report_tables import percent
from bfl_fabric.audit.summary import (
    KeySummary,
    RunSummary,
    TrafficSummary,
    ceremony_summaries,
    key_summaries,
    round_summary,
    text,
)
from tests.unit.audit.sample_run import joint_run, sample_run
from tests.unit.audit.shared_run import SharedRun

VOID = {"meta", "br", "line", "rect", "circle", "path", "hr"}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e&amp;\x00'


class Page(HTMLParser):
    """Collects what matters of a page, and checks that its tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in VOID or tag in ("rect", "circle", "line"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(self.words)


def _poisoned(value: Any, poison: str) -> Any:
    """Return the value with the poison in every text of it."""
    if isinstance(value, str):
        return value + poison
    if isinstance(value, tuple):
        return tuple(_poisoned(item, poison) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{field.name: _poisoned(getattr(value, field.name), poison) for field in fields(value)}
        )
    return value


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(sample_run(aborted=7)))


def test_the_page_loads_nothing_and_runs_nothing(page: Page) -> None:
    loading = {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "audio",
        "video",
        "form",
        "a",
        "base",
        "use",
    }
    assert loading.isdisjoint(tag for tag, _ in page.tags)
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name in ("href", "src") for name in attributes)
    html = render(sample_run())
    assert "url(" not in html
    assert "http" not in html.replace("http-equiv", "")
    policy = [meta for meta in page.named("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy[0]["content"]


def test_hostile_text_in_any_field_stays_text() -> None:
    honest, poisoned = Page(render(joint_run())), Page(render(_poisoned(joint_run(), HOSTILE)))
    assert {tag for tag, _ in poisoned.tags} <= {tag for tag, _ in honest.tags} | {"li"}
    assert "script" not in {tag for tag, _ in poisoned.tags}
    assert all(not name.startswith("on") for _, attributes in poisoned.tags for name in attributes)
    assert "<script>alert(1)</script>" in poisoned.text
    assert not re.search("[\u202a-\u202e\x00]", render(_poisoned(joint_run(), HOSTILE)))


def test_hostile_text_cannot_leave_the_style_sheet_or_a_style_attribute() -> None:
    html = render(_poisoned(joint_run(), "</style>;}x{background:red"))
    assert html.count("<style>") == html.count("</style>") == 1
    allowed = r"background:var\(--[a-z0-9-]+\)|--heat:[0-9.]+|min-width:200px;width:30%"
    for _, attributes in Page(html).tags:
        assert re.fullmatch(allowed, attributes.get("style", "--heat:0"))


def test_every_plot_has_a_title_and_a_description_of_its_own(page: Page) -> None:
    plots = [svg for svg in page.named("svg") if svg.get("aria-hidden") != "true"]
    assert len(plots) >= 6
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for svg in plots:
        assert svg["role"] == "img"
        assert set(svg["aria-labelledby"].split()) <= set(ids)


def test_the_page_says_what_the_run_was(page: Page) -> None:
    run = sample_run(aborted=7)
    assert run.task.title in page.text
    assert percent(run.final_metrics.accuracy_ppb) in page.text
    assert "ABORTED" in page.text
    assert run.verify_command in page.text
    for participant in run.participants:
        assert participant.participant_id in page.text
        assert f"{participant.balance:,}" in page.text
    for round_ in run.rounds:
        if round_.model_digest:
            assert round_.model_digest in page.text
    assert "Verified by recomputation" in page.text


def test_a_failed_audit_is_the_first_thing_that_one_reads() -> None:
    run = sample_run()
    assert run.audit is not None
    failed = replace(run.audit, passed=False, failures=("block 7: it is wrong",), withheld=("an update",))
    words = Page(render(replace(run, audit=failed))).text
    assert "The audit failed: 1 finding, 1 blobs withheld" in words
    assert "block 7: it is wrong" in words
    assert "Verified by recomputation" not in words


def test_a_run_that_was_not_audited_does_not_claim_to_be() -> None:
    words = Page(render(replace(sample_run(), audit=None))).text
    assert "has not been audited" in words
    assert "Verified" not in words


@pytest.mark.parametrize(("rounds", "participants"), [(0, 0), (0, 3), (1, 2), (30, 12), (3, 40)])
def test_runs_of_any_size_can_be_shown(rounds: int, participants: int) -> None:
    page = Page(render(sample_run(rounds, participants)))
    for _, attributes in page.tags:
        assert not any(re.search(r"\b(nan|inf)\b", value) for value in attributes.values())


def test_a_run_whose_only_round_aborted_can_be_shown() -> None:
    words = Page(render(sample_run(rounds=1, aborted=1))).text
    assert "two of six delivered" not in words
    assert "ABORTED" in words


def test_the_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("before")
    write_report(sample_run(), path)
    assert path.read_text(encoding="utf-8") == render(sample_run())
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_a_summary_is_canonical_json_and_comes_back_as_it_was() -> None:
    run = sample_run(aborted=3)
    assert RunSummary.from_json(canonical.parse(text(run))) == run
    with pytest.raises(canonical.NotCanonical, match="unknown field"):
        RunSummary.from_json({**run.to_json(), "surprise": 1})


# --- keys -----------------------------------------------------------------------------------------


def test_a_run_whose_summary_has_no_keys_says_nothing_of_them() -> None:
    words = Page(render(sample_run())).text
    assert "Key held by" not in words
    assert "Ceremony" not in words
    assert "keys" not in sample_run().to_json()


def test_a_joint_key_is_shown_with_its_ceremonies_and_who_opened_what() -> None:
    page = Page(render(joint_run()))
    words = re.sub(r"\s+", " ", page.text)
    assert "Key held by any 2 of 3 organizations" in words
    assert "2 retired CharitMSP, LimmatMSP any 2 of 2 1, 2" in words
    assert "3 in use CharitMSP, LimmatMSP, RhoneMSP any 2 of 3 3" in words
    assert (
        "1 FAILED CharitMSP, LimmatMSP, RhoneMSP 3 of 3 3 of 3 1 of 3 RhoneMSP complaints about RhoneMSP"
        in words
    )
    names = "CharitMSP, LimmatMSP, RhoneMSP"
    assert f"3 1 came to nothing {names} CharitMSP, LimmatMSP CharitMSP –" in words
    assert f"3 2 opened {names} CharitMSP, RhoneMSP CharitMSP, RhoneMSP CharitMSP" in words
    titles = {attributes["title"] for _, attributes in page.tags if "title" in attributes}
    assert {"RhoneMSP is back", "CharitMSP: RhoneMSP"} <= titles


def test_a_packed_key_is_shown_with_the_silos_that_have_it() -> None:
    key = KeySummary(1, ("RhoneMSP",), 1, "ab" * 32, 1, expires_at=5, granted=("clinic-1", "clinic-2"))
    words = re.sub(r"\s+", " ", Page(render(replace(sample_run(), keys=(key,)))).text)
    assert "Key held by RhoneMSP" in words
    assert "1 expired RhoneMSP its holder – clinic-1, clinic-2" in words


def test_a_summary_with_keys_is_canonical_json_and_comes_back_as_it_was() -> None:
    assert RunSummary.from_json(canonical.parse(text(joint_run()))) == joint_run()


def test_a_real_run_is_summed_up_with_who_answered(shared_truth: SharedRun) -> None:
    views = [from_json(RoundView, shared_truth.ask("round:Get", round=number)) for number in (1, 2, 3)]
    rounds = [round_summary(view, None, TrafficSummary(), 0) for view in views]
    assert [(one.epoch, len(one.attempts)) for one in rounds] == [(2, 1), (3, 0), (3, 2)]
    first, second = rounds[2].attempts
    assert (first.active, first.answered, first.opened) == (
        ("AlphaMSP", "BetaMSP", "DeltaMSP"),
        ("AlphaMSP", "DeltaMSP"),
        False,
    )
    assert second.answered == second.active == ("AlphaMSP", "DeltaMSP", "EpsilonMSP")
    assert (second.blamed, second.opened, len(second.offered)) == (("AlphaMSP",), True, 5)
    keys = key_summaries([from_json(KeyEpoch, one) for one in shared_truth.ask("key:List")])
    assert [(key.epoch, len(key.holders), key.threshold, key.reason) for key in keys] == [
        (2, 4, 3, "Epsilon is back"),
        (3, 5, 3, ""),
    ]
    ceremonies = ceremony_summaries(
        [from_json(CeremonyView, shared_truth.ask("key:GetCeremony", epoch=number)) for number in (1, 2, 3)]
    )
    assert [one.status for one in ceremonies] == ["FAILED", "CLOSED", "CLOSED"]
    assert ceremonies[0].complaints == (
        "AlphaMSP: EpsilonMSP",
        "BetaMSP: EpsilonMSP",
        "DeltaMSP: EpsilonMSP",
    )
    assert ceremonies[0].confirmed == ("GammaMSP",)


# --- colours --------------------------------------------------------------------------------------


def _luminance(colour: str) -> float:
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(first: str, second: str) -> float:
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [stylesheet.LIGHT, stylesheet.DARK], ids=["light", "dark"])
def test_every_text_can_be_read_on_its_ground(colours: dict[str, str]) -> None:
    for ink in ("ink", "muted", "accent"):
        for ground in ("ground", "surface", "raised"):
            assert _contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for kind in ("good", "bad", "warn"):
        assert _contrast(colours[kind], colours[f"{kind}-ground"]) >= 4.5, kind
        assert _contrast(colours["ink"], colours[f"{kind}-ground"]) >= 4.5, kind
    for line in ("accent", "central", "alone"):
        assert _contrast(colours[line], colours["surface"]) >= 3, line


def test_participants_of_one_organization_have_shades_of_one_hue_and_are_distinct() -> None:
    light, dark = stylesheet.participant_colours([0, 0, 1, 1, 2])
    assert len(set(light)) == len(set(dark)) == 5
