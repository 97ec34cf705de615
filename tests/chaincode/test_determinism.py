"""Endorsers agree: nothing in the contract can differ from machine to machine, and nothing does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bfl_chaincode
from tests.chaincode.coverage_run import all_simulations
from tests.chaincode.determinism_scan import OUTSIDE, violations
from tests.chaincode.refusal_cases import CASES
from tests.chaincode.transcript import record, replay

ROOT = Path(bfl_chaincode.__file__).parent
MODULES = sorted(
    name for path in ROOT.rglob("*.py") if not (name := str(path.relative_to(ROOT))).startswith(OUTSIDE)
)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_the_contract_has_nothing_that_could_differ(module: str) -> None:
    assert violations((ROOT / module).read_text("utf-8"), module) == []


BANNED = {
    "clock": "import time",
    "calendar": "from datetime import datetime",
    "randomness": "import random",
    "secret randomness": "from secrets import token_hex",
    "random id": "import uuid",
    "environment": "import os\nos.environ['HOME']",
    "files": "open('x')",
    "path": "from pathlib import Path",
    "network": "import socket",
    "http": "from urllib.request import urlopen",
    "grpc": "import grpc",
    "threads": "import threading",
    "event loop": "import asyncio",
    "processes": "import subprocess",
    "locale": "import locale",
    "float": "x = 0.5",
    "exponent": "x = 1e3",
    "imaginary": "x = 2j",
    "float()": "x = float(1)",
    "true division": "x = 1 / 2",
    "true division in place": "x = 1\nx /= 2",
    "rounding": "x = round(2)",
    "math": "import math\nx = math.sqrt(2)",
    "math by name": "from math import sqrt",
    "set": "x = {1, 2}",
    "set()": "x = set()",
    "frozenset": "x = frozenset((1, 2))",
    "set comprehension": "x = {a for a in (1, 2)}",
    "hash": "x = hash('a')",
    "hash method": "x = 'a'.__hash__()",
    "id": "x = id('a')",
    "json": "import json",
    "json by name": "from json import dumps",
    "pickle": "import pickle",
    "eval": "eval('1')",
    "exec": "exec('1')",
    "import by name": "__import__('time')",
    "output": "print(1)",
    "Unicode tables": "x = 'ß'.upper()",
    "other hashes": "import hashlib\nx = hashlib.new('md5')",
    "numpy": "import numpy",
    "the SDK": "from bfl_fabric import sdk",
}


@pytest.mark.parametrize("what", BANNED)
def test_the_scan_finds(what: str) -> None:
    assert violations(BANNED[what], "rules/rounds.py")


def test_the_scan_lets_the_main_module_read_the_environment_and_canonical_json_use_json() -> None:
    assert violations("import os\nx = os.environ", "main.py") == []
    assert violations("import json\nx = json.JSONEncoder", "api/canonical.py") == []
    assert violations("import os\nx = os.urandom(3)", "main.py")


def test_endorsers_with_other_hash_seeds_locales_and_clocks_sign_the_same(tmp_path: Path) -> None:
    proposals = [record(simulations) for simulations in all_simulations()]
    expected = [line for run in proposals for line in replay(run)]
    history = tmp_path / "histories.json"
    history.write_text(json.dumps(proposals), "utf-8")
    # Python 3.11 reads its .pth files in the locale's encoding: beyond ASCII it could not start in the C locale.
    plain = "C" if sys.executable.isascii() and str(ROOT).isascii() else "C.UTF-8"
    machines = [("1", plain, "UTC", "0"), ("4242", "C.UTF-8", "Asia/Kathmandu", "315360000")]
    for seed, locale, zone, offset in machines:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale, "TZ": zone}
        command = [sys.executable, "-m", "tests.chaincode.transcript", str(history), offset]
        result = subprocess.run(
            command, env=environment, cwd=ROOT.parents[1], capture_output=True, text=True, check=True
        )
        assert result.stdout.splitlines() == expected


def test_refusals_are_the_same_words_everywhere() -> None:
    for case in CASES[::10]:
        texts = []
        for _ in range(2):
            try:
                case.act(case.begun())
            except Exception as refusal:
                texts.append(str(refusal))
        assert len(texts) == 2
        assert texts[0] == texts[1]
