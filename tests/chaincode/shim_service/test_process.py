"""`python -m bfl_chaincode`: settings, exit codes, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

import bfl_chaincode
from bfl_chaincode.shim.service.environment import SettingsError, read_settings
from tests.chaincode.shim_service.fake_peer import FakePeer, Message
from tests.chaincode.shim_service.real_service import ServiceKeys
from tests.chaincode.shim_service.test_stream import wait_until
from tests.unit.fabric.real_network import free_port

ROOT = Path(bfl_chaincode.__file__).parents[1]
HOSTS = {
    "sleeps": "import time; time.sleep(60)",
    "keeps the interpreter": "import re; re.match(r'(a+)+$', 'a' * 40 + 'b')",
}


@pytest.fixture(scope="module")
def keys() -> ServiceKeys:
    return ServiceKeys()


@pytest.fixture
def settings(tmp_path: Path, keys: ServiceKeys) -> dict[str, str]:
    """Complete settings with mutual TLS."""
    files = {
        "CHAINCODE_TLS_KEY_FILE": keys.server.key_pem,
        "CHAINCODE_TLS_CERT_FILE": keys.server.certificate_pem,
        "CHAINCODE_CLIENT_CA_CERT_FILE": keys.authority.certificate_pem,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return {
        "CHAINCODE_ID": "bfl:1",
        "CHAINCODE_SERVER_ADDRESS": f"127.0.0.1:{free_port()}",
        "CHAINCODE_OPERATIONS_ADDRESS": str(free_port()),
        **{name: str(tmp_path / name) for name in files},
    }


@contextmanager
def started(
    settings: Mapping[str, str], *command: str, stdin: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHAINCODE_")}
    process = subprocess.Popen(
        [sys.executable, *(command or ("-m", "bfl_chaincode"))],
        env={**kept, **settings, "PYTHONPATH": str(ROOT)},
        stdin=stdin,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], seconds: float = 20) -> tuple[int, str]:
    _, said = process.communicate(timeout=seconds)
    return process.returncode, said


def is_healthy(settings: Mapping[str, str]) -> bool:
    try:
        url = f"http://127.0.0.1:{settings['CHAINCODE_OPERATIONS_ADDRESS']}/healthz"
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(json.load(response)["status"] == "OK")
    except OSError:
        return False


def credentials(keys: ServiceKeys) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        keys.authority.certificate_pem, keys.client.key_pem, keys.client.certificate_pem
    )


def test_the_process_serves_the_contract_over_mutual_tls_until_sigterm(
    settings: dict[str, str], keys: ServiceKeys
) -> None:
    with started({**settings, "CHAINCODE_LOGGING_LEVEL": "debug"}) as process:
        wait_until(lambda: is_healthy(settings), 20)
        with FakePeer(settings["CHAINCODE_SERVER_ADDRESS"], credentials(keys)) as peer:
            assert peer.register().package_id == "bfl:1"
            assert peer.run("no:Such", "{}").message.startswith("BFL-101: ")
            txid = peer.begin("federation:GetFederation", "{}")
            request = peer.next(txid)
            process.send_signal(signal.SIGTERM)
            peer.reply(request, b"", Message.RESPONSE)
            assert peer.serve(txid)[0].status == 500
            code, said = ended(process)
    assert code == 0
    assert "ended with 0 transactions unanswered" in said
    assert "PRIVATE" not in said
    assert "BEGIN" not in said


def test_the_process_ends_with_its_standard_input(settings: dict[str, str]) -> None:
    with started({**settings, "CHAINCODE_STOP_WITH_STDIN": "true"}, stdin=subprocess.PIPE) as process:
        wait_until(lambda: is_healthy(settings), 20)
        assert process.poll() is None
        assert ended(process)[0] == 0


def _hosting(body: str) -> tuple[str, str]:
    code = (
        "import os\n"
        "from bfl_chaincode.shim.service.process import run\n"
        f"async def invoke(stub):\n    {body}\n"
        "raise SystemExit(run(invoke, os.environ, deaf_seconds=2.0))\n"
    )
    return "-c", code


def test_a_hung_function_does_not_keep_the_process_from_ending(
    settings: dict[str, str], keys: ServiceKeys
) -> None:
    with started(settings, *_hosting(HOSTS["sleeps"])) as process:
        wait_until(lambda: is_healthy(settings), 20)
        with FakePeer(settings["CHAINCODE_SERVER_ADDRESS"], credentials(keys)) as peer:
            peer.register().begin("x")
            process.send_signal(signal.SIGTERM)
            assert ended(process)[0] == 0


def test_a_process_whose_interpreter_stands_still_ends_itself(
    settings: dict[str, str], keys: ServiceKeys
) -> None:
    with started(settings, *_hosting(HOSTS["keeps the interpreter"])) as process:
        wait_until(lambda: is_healthy(settings), 20)
        with FakePeer(settings["CHAINCODE_SERVER_ADDRESS"], credentials(keys)) as peer:
            peer.register().begin("x")
            code, said = ended(process)
    assert code == 1
    assert "Timeout" in said


@pytest.mark.parametrize("name", ["CHAINCODE_SERVER_ADDRESS", "CHAINCODE_OPERATIONS_ADDRESS"])
def test_an_address_in_use_is_one_line_and_code_1(settings: dict[str, str], name: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        started({**settings, name: f"127.0.0.1:{taken.getsockname()[1]}"}) as process,
    ):
        code, said = ended(process)
    assert code == 1
    ours = [line for line in said.splitlines() if line.startswith("bfl_chaincode: cannot listen at ")]
    assert len(ours) == 1


WRONG = {
    "no id": ({"CHAINCODE_ID": ""}, "CHAINCODE_ID is not set"),
    "no address": ({"CHAINCODE_SERVER_ADDRESS": ""}, "CHAINCODE_SERVER_ADDRESS is not set"),
    "an address that is none": ({"CHAINCODE_SERVER_ADDRESS": "here"}, "write host:port"),
    "an operations address that is none": ({"CHAINCODE_OPERATIONS_ADDRESS": "x:y"}, "OPERATIONS_ADDRESS"),
    "no key": ({"CHAINCODE_TLS_KEY_FILE": ""}, "or set CHAINCODE_TLS_DISABLED=true"),
    "no certificate": ({"CHAINCODE_TLS_CERT_FILE": ""}, "CHAINCODE_TLS_CERT_FILE not set"),
    "no client authority": ({"CHAINCODE_CLIENT_CA_CERT_FILE": ""}, "CHAINCODE_CLIENT_CA_CERT_FILE not set"),
    "no such file": ({"CHAINCODE_TLS_KEY_FILE": "/nowhere/key.pem"}, "cannot read /nowhere/key.pem"),
    "both TLS and none": ({"CHAINCODE_TLS_DISABLED": "true"}, "take one of them away"),
    "neither true nor false": ({"CHAINCODE_TLS_DISABLED": "maybe"}, "write true or false"),
    "a level that is none": ({"CHAINCODE_LOGGING_LEVEL": "loud"}, "CHAINCODE_LOGGING_LEVEL"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_setting_is_one_clear_line(settings: dict[str, str], what: str) -> None:
    changes, text = WRONG[what]
    with pytest.raises(SettingsError) as refused:
        read_settings({**settings, **changes})
    assert text in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [("CHAINCODE_TLS_KEY_FILE", "other key"), ("CHAINCODE_TLS_CERT_FILE", "x"), ("CHAINCODE_CLIENT_CA_CERT_FILE", "x")],
)  # fmt: skip
def test_files_that_do_not_fit_together_are_refused(
    settings: dict[str, str], name: str, content: str
) -> None:
    raw = ServiceKeys().server.key_pem if content == "other key" else content.encode()
    Path(settings[name]).write_bytes(raw)
    with pytest.raises(SettingsError, match=name) as refused:
        read_settings(settings)
    assert "PRIVATE" not in str(refused.value)


def test_a_process_with_wrong_settings_says_so_in_one_line_with_code_2() -> None:
    with started({}) as process:
        code, said = ended(process)
    assert code == 2
    assert said.startswith("bfl_chaincode: CHAINCODE_ID is not set; it is the package id, label:digest")
    assert said.count("\n") == 1


def test_the_package_id_may_stand_in_a_file(settings: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "id"
    path.write_text("bfl:2\n")
    read = read_settings({**settings, "CHAINCODE_ID": "", "CHAINCODE_ID_FILE": str(path)})
    assert read.service.package_id == "bfl:2"
    with pytest.raises(SettingsError, match="both set"):
        read_settings({**settings, "CHAINCODE_ID_FILE": str(path)})
    path.write_text("")
    with pytest.raises(SettingsError, match="is empty"):
        read_settings({**settings, "CHAINCODE_ID": "", "CHAINCODE_ID_FILE": str(path)})


def test_plain_text_is_served_to_those_who_ask_for_it(settings: dict[str, str]) -> None:
    plain = {name: value for name, value in settings.items() if not name.endswith("_FILE")}
    read = read_settings({**plain, "CHAINCODE_TLS_DISABLED": "TRUE", "CHAINCODE_OPERATIONS_ADDRESS": "9443"})
    assert (read.service.tls, read.service.operations_address) == (None, "127.0.0.1:9443")
    assert read_settings({**settings, "CHAINCODE_OPERATIONS_ADDRESS": ""}).service.operations_address is None
