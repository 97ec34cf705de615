"""A node in a process of its own, to be attacked, measured and killed. Prints its address and serves for ever.

`python serving_process.py CONFIGURATION`, the JSON file that `node_process.py` writes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from bfl_fabric.domain.ports import TransferCaller, UpdateName
from bfl_fabric.errors import MalformedInput, NotFound
from bfl_fabric.storage.blobs import FileBlobStore
from bfl_fabric.transport.credentials import NodeCredentials, TrustedAuthorities
from bfl_fabric.transport.limits import ServerLimits
from bfl_fabric.transport.server import TransferServer


class CommitmentsFile:
    """An Admission from a JSON file `{digest: size}`, read again for every call."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def expect(self, caller: TransferCaller, name: UpdateName, digest: str) -> int:
        sizes: dict[str, int] = json.loads(self._path.read_text())
        if digest not in sizes:
            raise NotFound("no such update was committed")
        return sizes[digest]

    async def accept(self, name: UpdateName, digest: str, path: Path) -> None:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise MalformedInput("the digest is another one")

    async def may_read(self, caller: TransferCaller, digest: str) -> bool:
        return True


async def main(settings: dict[str, Any]) -> None:
    trust = TrustedAuthorities({msp_id: [text.encode()] for msp_id, text in settings["trust"].items()})
    server = TransferServer(
        FileBlobStore(Path(settings["store"])),
        CommitmentsFile(Path(settings["commitments"])),
        NodeCredentials(Path(settings["certificate"]), Path(settings["key"]), trust),
        ServerLimits(**settings["limits"]),
    )
    sys.stdout.write(await server.start(settings["address"]) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
