"""The contract service as a process of its own: from its settings to its exit code.

Decides when the process ends and how: on SIGTERM, SIGINT or, where asked, with its standard input, running
transactions are finished first and the code is 0; wrong settings are one line and code 2; what cannot be had (an
address in use) is one line and code 1. A process whose interpreter stands still (a function stuck in C code holds
it) ends itself with code 1 and the place of the fault, so that whoever supervises it starts another one.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping

from bfl_chaincode.shim.service.environment import ProcessSettings, SettingsError, read_settings
from bfl_chaincode.shim.service.server import ContractServer
from bfl_chaincode.shim.service.transaction import Invoke

DONE, UNAVAILABLE, MISCONFIGURED = 0, 1, 2
GRACE_SECONDS = 5.0
DEAF_SECONDS = 30.0
"""As long as a peer waits for a transaction by default: nothing is lost that was not lost already."""


def run(invoke: Invoke, environment: Mapping[str, str], deaf_seconds: float = DEAF_SECONDS) -> int:
    """Serve a contract until told to end; return the exit code. Call it on the main thread."""
    try:
        settings = read_settings(environment)
    except SettingsError as error:
        return _say(str(error), MISCONFIGURED)
    _log_to_stderr(settings.logging_level)
    ended = _end_signals(settings)
    server = ContractServer(invoke, settings.service)
    try:
        server.start()
    except OSError as error:
        return _say(str(error), UNAVAILABLE)
    _wait(ended, deaf_seconds)
    server.stop(GRACE_SECONDS)
    return DONE


def _say(text: str, code: int) -> int:
    sys.stderr.write(f"bfl_chaincode: {' '.join(text.split())}\n")
    return code


def _log_to_stderr(level: int) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("bfl_chaincode")
    logger.setLevel(level)
    logger.addHandler(handler)
    logger.propagate = False


def _end_signals(settings: ProcessSettings) -> threading.Event:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    if settings.stop_with_stdin:
        threading.Thread(target=_await_end_of_stdin, args=(ended,), name="stdin", daemon=True).start()
    return ended


def _await_end_of_stdin(ended: threading.Event) -> None:
    try:
        while os.read(0, 65536):  # not sys.stdin: its lock would be held while the interpreter ends
            pass
    except OSError:
        logging.getLogger("bfl_chaincode.service").warning("standard input cannot be read; ending")
    ended.set()


def _wait(ended: threading.Event, deaf_seconds: float) -> None:
    """Wait for the end, and keep putting off the moment at which this process counts as deaf."""
    while not ended.is_set():
        faulthandler.dump_traceback_later(deaf_seconds, exit=True)
        ended.wait(deaf_seconds / 4)
    faulthandler.cancel_dump_traceback_later()
