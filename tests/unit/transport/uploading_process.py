"""A participant in a process of its own, to be killed: uploads one file. Arguments: a JSON object."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from bfl_fabric.domain.ports import UpdateName
from bfl_fabric.storage.blobs import FileBlobStore
from bfl_fabric.transport.client import TransferClient
from bfl_fabric.transport.credentials import NodeCredentials, TrustedAuthorities


async def main(settings: dict[str, str]) -> None:
    trust = TrustedAuthorities(
        {msp_id: [text.encode()] for msp_id, text in json.loads(settings["trust"]).items()}
    )
    credentials = NodeCredentials(Path(settings["certificate"]), Path(settings["key"]), trust)
    store = FileBlobStore(Path(settings["store"]))
    async with TransferClient(credentials, store.incoming) as client:
        name = UpdateName("task-1", 3, settings["participant_id"])
        await client.upload(settings["address"], name, settings["digest"], Path(settings["path"]))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
