"""The fast reader of records and the one that names the wrong field agree on everything."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bfl_chaincode.api import reading, records
from bfl_chaincode.api.canonical import NotCanonical
from bfl_chaincode.api.records import forms

KINDS = [kind for kind in vars(records).values() if dataclasses.is_dataclass(kind)]

PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["", "OPEN", "a-1", "verifier"])
)
JSON = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "task_id"]), inner)
    ),
    max_leaves=6,
)


@st.composite
def almost(draw: st.DrawFn) -> tuple[Any, Any]:
    """A record in JSON with up to two places changed, dropped or added."""
    kind = draw(st.sampled_from(KINDS))
    value: Any = records.to_json(draw(st.from_type(kind)))
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from([*value, "unknown"]))
        if draw(st.booleans()):
            value.pop(name, None)
        else:
            value[name] = draw(JSON)
    return kind, value


@given(almost())
@settings(max_examples=400, deadline=None)
def test_both_readers_agree(case: tuple[Any, Any]) -> None:
    kind, value = case
    try:
        slowly = forms._record(kind, value, kind.__name__)
    except NotCanonical:
        slowly = None
    try:
        fast = reading.reader_of(kind)(value)
    except reading.Unlike:
        fast = None
    assert fast == slowly
    assert type(fast) is type(slowly)


@given(st.sampled_from(KINDS).flatmap(st.from_type))
@settings(max_examples=200, deadline=None)
def test_a_record_survives_its_json(record: Any) -> None:
    assert records.from_json(type(record), records.to_json(record)) == record
