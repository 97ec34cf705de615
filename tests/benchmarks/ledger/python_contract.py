"""The trivial contract of the throughput comparison, on our own shim, as a service.

`python -m tests.benchmarks.ledger.python_contract SETTINGS.json`; settings: package_id, address, and key,
certificate, client_roots (paths) for mutual TLS. Prints "ready" once it listens.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path

from bfl_chaincode.shim.service import ContractServer, ServiceSettings, ServiceTls
from bfl_chaincode.shim.stub import ChaincodeStub, Response


async def invoke(stub: ChaincodeStub) -> Response:
    """Put(key, value) or Get(key)."""
    function, arguments = stub.get_function_and_parameters()
    if function == "Put" and len(arguments) == 2:
        await stub.put_state(arguments[0], arguments[1].encode())
        return Response(200, b"", "")
    if function == "Get" and len(arguments) == 1:
        return Response(200, await stub.get_state(arguments[0]), "")
    return Response(500, b"", f"no transaction {function} with {len(arguments)} arguments")


def main(path: str) -> None:
    """Serve until SIGTERM."""
    settings = json.loads(Path(path).read_text())
    tls = None
    if settings.get("key"):
        key, certificate, authority = (
            Path(settings[name]).read_bytes() for name in ("key", "certificate", "client_roots")
        )
        tls = ServiceTls(key=key, certificate=certificate, client_authority=authority)
    server = ContractServer(invoke, ServiceSettings(settings["package_id"], settings["address"], tls, None))
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    server.start()
    print("ready", flush=True)
    ended.wait()
    server.stop(1.0)


if __name__ == "__main__":
    main(sys.argv[1])
