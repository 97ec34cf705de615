"""A process to kill: puts, adopts and half-receives blobs without end, naming each finished one on stdout."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from bfl_fabric.storage.blobs import FileBlobStore


def main() -> None:
    directory = Path(sys.argv[1])
    store = FileBlobStore(directory)
    for number in range(1_000_000):
        data = hashlib.shake_256(f"{sys.argv[2]} {number}".encode()).digest(1 + 70_001 * number % 900_000)
        digest = hashlib.sha256(data).hexdigest()
        if number % 2:
            assert store.put(data) == digest
        else:
            partial = store.incoming.open("upload", digest, len(data))
            for start in range(0, len(data), 100_000):
                partial.append(data[start : start + 100_000])
            assert store.adopt(partial.complete()) == digest
            partial.close()
        sys.stdout.write(f"{digest}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
