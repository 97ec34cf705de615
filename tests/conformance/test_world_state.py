"""Single keys: what a contract reads and writes."""

from __future__ import annotations

import pytest

from bfl_fabric.fabric.gateway_transport import GatewayFailure
from tests.conformance.probe import Probe, unique


def test_a_missing_key_reads_as_empty(probe: Probe) -> None:
    assert probe.evaluate("get", unique("missing")) == b""


def test_a_committed_value_is_read_by_every_organization(probe: Probe) -> None:
    key = unique("key")
    probe.submit("put", key, "value")
    assert [probe.evaluate("get", key, organization=number) for number in range(3)] == [b"value"] * 3


def test_an_evaluated_write_is_recorded_nowhere(probe: Probe) -> None:
    key = unique("key")
    probe.evaluate("put", key, "value")
    assert probe.evaluate("get", key) == b""


def test_an_endorsed_write_that_was_not_ordered_is_recorded_nowhere(probe: Probe) -> None:
    key = unique("key")
    probe.endorse("put", key, "value")
    assert probe.evaluate("get", key) == b""


def test_a_transaction_does_not_see_its_own_writes(probe: Probe) -> None:
    key = unique("key")
    probe.submit("put", key, "old")
    assert probe.submit("put_then_get", key, "new").result == b"old"
    assert probe.evaluate("get", key) == b"new"


def test_the_last_of_several_writes_of_a_key_counts(probe: Probe) -> None:
    key = unique("key")
    probe.submit("put", key, "first", key, "second")
    assert probe.evaluate("get", key) == b"second"


def test_a_deleted_key_reads_as_empty(probe: Probe) -> None:
    key = unique("key")
    probe.submit("put", key, "value")
    probe.submit("delete", key)
    assert probe.evaluate("get", key) == b""


def test_deleting_a_missing_key_is_a_valid_transaction(probe: Probe) -> None:
    probe.submit("delete", unique("missing"))


def test_writing_an_empty_value_deletes_the_key(probe: Probe) -> None:
    key = unique("key")
    probe.submit("put", key, "value")
    probe.submit("put", key, "")
    assert probe.evaluate("get", key) == b""
    assert probe.json("range", key, key + "~") == []


@pytest.mark.parametrize("function", ["put", "get", "delete", "history"])
def test_an_empty_key_is_refused(probe: Probe, function: str) -> None:
    arguments = ["", "value"] if function == "put" else [""]
    with pytest.raises(GatewayFailure, match="empty key"):
        probe.evaluate(function, *arguments)


def test_a_key_without_utf8_form_is_refused(probe: Probe) -> None:
    with pytest.raises(GatewayFailure, match="InvalidKey"):
        probe.evaluate("put_surrogate")


def test_keys_and_values_may_be_any_text(probe: Probe) -> None:
    key = unique("Schlüssel \x01 \n 钥匙 \U0001f511")
    probe.submit("put", key, "Wert \U0001f4b6")
    assert probe.evaluate("get", key).decode() == "Wert \U0001f4b6"


def test_a_value_of_a_mebibyte_is_kept(probe: Probe) -> None:
    key = unique("large")
    probe.submit("put_large", key, str(1 << 20))
    assert probe.evaluate("size", key) == str(1 << 20).encode()


def test_the_history_of_a_key_is_newest_first(probe: Probe) -> None:
    key = unique("key")
    first = probe.submit("put", key, "one")
    second = probe.submit("delete", key)
    third = probe.submit("put", key, "three")
    history = [row[:3] for row in probe.json("history", key)]
    assert history == [
        [third.transaction_id, "three", False],
        [second.transaction_id, "", True],
        [first.transaction_id, "one", False],
    ]


def test_the_history_of_a_key_is_its_own_only(probe: Probe) -> None:
    key = unique("key")
    probe.submit("put", key + "x", "other")
    assert probe.json("history", key) == []
    assert len(probe.json("history", key + "x")) == 1


def test_a_transaction_that_wrote_a_key_twice_is_once_in_its_history(probe: Probe) -> None:
    key = unique("key")
    probe.submit("put", key, "a", key, "b")
    assert [row[1] for row in probe.json("history", key)] == ["b"]


# --- many keys at once ----------------------------------------------------------------------------


def test_several_keys_are_read_at_once_in_their_order(probe: Probe) -> None:
    prefix = unique("several")
    probe.submit("put", prefix + "a", "1", prefix + "b", "2")
    asked = [prefix + name for name in ("b", "missing", "a", "b")]
    assert probe.json("multiple", *asked) == ["2", "", "1", "2"]
    assert probe.json("multiple") == []


def test_an_empty_key_among_several_is_refused(probe: Probe) -> None:
    with pytest.raises(GatewayFailure, match="empty key"):
        probe.evaluate("multiple", "a", "", "b")


def test_thousands_of_keys_are_written_and_read_in_one_transaction(probe: Probe) -> None:
    """More than a message takes (1000 keys): the order of the writes must survive."""
    prefix = unique("many") + "/"
    probe.submit("put_many", prefix, "1250")
    keys = [f"{prefix}{number:05}" for number in range(1250)]
    assert probe.json("multiple", *keys) == [str(number) for number in range(1250)]
    assert probe.evaluate("get", prefix + "last") == b"1249"


def test_of_a_write_and_a_deletion_the_later_counts(probe: Probe) -> None:
    gone, kept = unique("gone"), unique("kept")
    probe.submit("put_then_delete", gone)
    probe.submit("delete_then_put", kept, "value")
    assert [probe.evaluate("get", key) for key in (gone, kept)] == [b"", b"value"]
    assert [row[1:3] for row in probe.json("history", kept)] == [["value", False]]


def test_a_value_of_megabytes_passes_as_argument(probe: Probe) -> None:
    key = unique("large")
    probe.submit("put", key, "x" * (4 << 20))
    assert probe.evaluate("size", key) == str(4 << 20).encode()
