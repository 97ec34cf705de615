"""`python -m tests.fabric.faulty_service`: the probe contract with functions that no contract should have."""

from __future__ import annotations

import os
import threading
import time
from typing import NoReturn

from bfl_chaincode.shim.service.process import run
from bfl_chaincode.shim.stub import ChaincodeStub
from tests.conformance.probe_contract import ProbeContract


class FaultyContract(ProbeContract):
    """Functions that hang, take the processor, end the process, or fail where nobody catches it."""

    async def do_hang(self, stub: ChaincodeStub, key: str) -> None:
        """Write something and then wait for what never comes."""
        await stub.put_state(key, b"half done")
        await stub.get_state(key)
        threading.Event().wait(120)

    async def do_spin(self, stub: ChaincodeStub, seconds: str) -> None:
        """Take one processor, and with it the interpreter, for a while."""
        end = time.monotonic() + float(seconds)
        while time.monotonic() < end:
            pass

    async def do_exit(self, stub: ChaincodeStub, key: str) -> NoReturn:
        """End the process in the middle of a transaction."""
        await stub.put_state(key, b"half done")
        await stub.get_state(key)
        os._exit(7)

    async def do_leave(self, stub: ChaincodeStub) -> NoReturn:
        raise SystemExit(7)

    async def do_fail_later(self, stub: ChaincodeStub) -> bytes:
        """Answer well, and fail when the transaction is long over."""

        def fail() -> NoReturn:
            time.sleep(0.2)
            raise RuntimeError("outside any transaction")

        threading.Thread(target=fail, daemon=True).start()
        return b"well"


if __name__ == "__main__":
    raise SystemExit(run(FaultyContract().invoke, os.environ))
