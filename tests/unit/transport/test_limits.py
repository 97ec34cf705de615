from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.transport.limits import (
    CHUNK_BYTES,
    MESSAGE_BYTES,
    ClientLimits,
    ServerLimits,
    channel_options,
    server_options,
)

ROOT = Path(__file__).resolve().parents[3]
SOURCES = [path for folder in ("bfl_fabric", "chaincode") for path in sorted((ROOT / folder).rglob("*.py"))]


def is_negative(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)


def unlimited_settings(source: str) -> Iterator[int]:
    """Yield the line of every gRPC setting that is set to a negative number, as a pair or in a dict."""
    for node in ast.walk(ast.parse(source)):
        pairs: list[tuple[ast.expr | None, ast.expr]] = []
        if isinstance(node, ast.Tuple | ast.List) and len(node.elts) == 2:
            pairs = [(node.elts[0], node.elts[1])]
        elif isinstance(node, ast.Dict):
            pairs = list(zip(node.keys, node.values, strict=True))
        for key, value in pairs:
            if isinstance(key, ast.Constant) and str(key.value).startswith("grpc.") and is_negative(value):
                yield node.lineno


def unbounded_servers(source: str) -> Iterator[int]:
    """Yield the line of every server of our transport that is built without options or without a bound of calls."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("grpc.aio.server", "grpc.server"):
            given = {keyword.arg for keyword in node.keywords}
            if not {"options", "maximum_concurrent_rpcs"} <= given:
                yield node.lineno


def test_no_setting_of_grpc_anywhere_in_the_code_is_unlimited() -> None:
    assert len(SOURCES) > 10
    found = [(path.name, line) for path in SOURCES for line in unlimited_settings(path.read_text())]
    assert found == []


def test_the_scan_finds_an_unlimited_setting_when_there_is_one() -> None:
    assert list(unlimited_settings('o = [("grpc.max_receive_message_length", -1)]')) == [1]
    assert list(unlimited_settings('o = {"grpc.max_receive_message_length": -1}')) == [1]
    assert list(unlimited_settings('o = [["grpc.max_metadata_size", - 1]]')) == [1]
    assert list(unbounded_servers("s = grpc.aio.server(options=o)")) == [1]


def test_every_server_of_the_transport_is_built_with_options_and_a_bound_of_calls() -> None:
    folder = ROOT / "bfl_fabric" / "transport"
    found = [
        (path.name, line) for path in folder.glob("*.py") for line in unbounded_servers(path.read_text())
    ]
    assert found == []
    assert "grpc.aio.server(" in (folder / "server.py").read_text()


def test_every_setting_is_positive_and_messages_stay_small() -> None:
    for options in (server_options(ServerLimits()), channel_options(ClientLimits())):
        settings = dict(options)
        assert len(settings) == len(options)
        assert all(value >= 0 for value in settings.values())
        assert settings["grpc.max_receive_message_length"] == MESSAGE_BYTES == 2 * CHUNK_BYTES == 2 * 2**20
        assert settings["grpc.compression_enabled_algorithms_bitset"] == 1


@pytest.mark.parametrize("field", [field.name for field in fields(ServerLimits)])
@pytest.mark.parametrize("value", [-1, 0, 2**31])
def test_a_server_limit_that_would_mean_unlimited_is_refused(field: str, value: int) -> None:
    with pytest.raises(ConfigurationError, match=field):
        ServerLimits(**{field: value})


@pytest.mark.parametrize("field", [field.name for field in fields(ClientLimits)])
def test_a_client_limit_of_nothing_is_refused(field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        ClientLimits(**{field: 0})


def test_no_single_organization_can_take_half_of_the_places() -> None:
    limits = ServerLimits()
    assert limits.calls_per_organization < limits.concurrent_calls / 2
    assert ClientLimits().calls_per_node <= limits.calls_per_identity


def test_a_stream_may_take_longer_the_larger_it_is() -> None:
    limits = ServerLimits(base_seconds=10, minimum_bytes_per_second=1000)
    assert limits.stream_seconds(0) == 10
    assert limits.stream_seconds(5000) == 15
