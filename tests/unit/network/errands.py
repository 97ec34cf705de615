"""A program that tests start plainly and from a nursery, to hold the one against the other: what it finds, how it ends.

python -m tests.unit.network.errands VERB ARGUMENT...
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import secrets
import sys
import tempfile
import time
import uuid
from pathlib import Path

STATUS = ("SigBlk", "SigIgn", "SigCgt", "Threads", "NoNewPrivs")


def surroundings() -> dict[str, object]:
    """What a program can find out about how it was started."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "name": __name__,
        "arguments": sys.argv[1:],
        "program": Path(sys.argv[0]).name,
        "command": Path("/proc/self/cmdline").read_bytes().rstrip(b"\0").decode().split("\0")[1:],
        "directory": os.getcwd(),
        "environment": {name: value for name, value in os.environ.items() if name not in ("_", "LC_CTYPE")},
        "leads its session": os.getsid(0) == os.getpid(),
        "descriptors": descriptors(),
        "status": {name: status[name].strip() for name in STATUS},
        "umask": status["Umask"].strip(),
        "streams": [stream.line_buffering for stream in (sys.stdout, sys.stderr)],
    }


def descriptors() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}").partition(":")[0]
        except FileNotFoundError:
            continue
    return found


def drawn() -> dict[str, str]:
    """Something random from every source that there is."""
    import numpy as np
    import tenseal
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, x25519

    private = ec.generate_private_key(ec.SECP256R1())
    context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, 4096, coeff_mod_bit_sizes=[36, 36, 36])
    context.global_scale = 2**20
    return {
        "os.urandom": os.urandom(16).hex(),
        "secrets": secrets.token_hex(),
        "uuid": str(uuid.uuid4()),
        "random": str(random.random()),
        "tempfile": tempfile.mktemp(),
        "numpy.random": str(np.random.random()),
        "numpy default_rng": str(np.random.default_rng().random()),
        "EC key": str(private.private_numbers().private_value),
        "ECDSA nonce": private.sign(b"", ec.ECDSA(hashes.SHA256())).hex(),
        "X25519 key": x25519.X25519PrivateKey.generate().private_bytes_raw().hex(),
        "SEAL secret key": hashlib.sha256(context.serialize(save_secret_key=True)).hexdigest(),
        "SEAL encryption": hashlib.sha256(tenseal.ckks_vector(context, [1.0]).serialize()).hexdigest(),
        **keys_of_workers(),
    }


def keys_of_workers() -> dict[str, str]:
    """Public keys that a node's worker processes make, and one update that they encrypt under a key of old."""
    from bfl_chaincode.api.records import EncryptionTerms
    from bfl_fabric.he.ckks import CkksScheme
    from bfl_fabric.he.isolation import WorkerProcess
    from bfl_fabric.he.provider import EncryptionSchemes, parameters_digest
    from tests.unit.he.samples import CHECKED, PUBLIC_KEY, name, some_values

    schemes, worker = EncryptionSchemes(), WorkerProcess()
    found = {"update": CkksScheme(CHECKED, PUBLIC_KEY, worker).encrypt(name(), 1, 1, some_values(8))}
    with tempfile.TemporaryDirectory() as place:
        for word in ("ckks", "packed"):
            terms = EncryptionTerms(word, parameters_digest(word), 16, "0.5", 32_768)
            found[f"{word} key"] = schemes.create_key(terms, 1, Path(place) / word)
        found["transport key"] = schemes.transport_key(Path(place) / "transport").encode()
    schemes.close()
    worker.close()
    return {what: hashlib.sha256(data).hexdigest() for what, data in found.items()}


async def talked() -> str:
    """What a gRPC server of this process answers to a channel of this process."""
    import grpc

    async def answer(request: bytes, context: object) -> bytes:
        return request.upper()

    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler(
        "test", {"Say": grpc.unary_unary_rpc_method_handler(answer)}
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        reply: bytes = await channel.unary_unary("/test/Say")(b"hello")
    await server.stop(5)  # without grace a connection that is still closing is told so in the log
    return reply.decode()


def main(verb: str, *arguments: str) -> None:
    match verb:
        case "look":
            Path(arguments[0]).write_text(json.dumps(surroundings()))
        case "draw":
            Path(arguments[0]).write_text(json.dumps(drawn()))
        case "talk":
            print(asyncio.run(talked()), flush=True)
        case "exit":
            sys.exit(int(arguments[0]) if arguments[0].isdigit() else arguments[0])
        case "fail":
            raise RuntimeError(*arguments)
        case "run":
            from bfl_fabric.network.supervisor import stop_with_parent

            stop_with_parent(lambda: os._exit(0))
            time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
