"""A contract that does nothing but use the stub: one function for every operation and every mistake.

It depends on nothing but the stub interface, so that the same class can be hosted by the embedded ledger and, behind
the peer stream handler, by a real peer.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence

from bfl_chaincode.shim.stub import ChaincodeStub, Page, Response


def _text(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()


class ProbeContract:
    """Calls `do_NAME` for the function NAME with the remaining arguments; arguments and results are text."""

    async def invoke(self, stub: ChaincodeStub) -> Response:
        try:
            name, arguments = stub.get_function_and_parameters()
            result = await getattr(self, f"do_{name}")(stub, *arguments)
            return result if isinstance(result, Response) else Response(200, result or b"", "")
        except Exception as error:
            return Response(500, b"", f"{type(error).__name__}: {error}")

    # --- public state ---------------------------------------------------------------------------

    async def do_put(self, stub: ChaincodeStub, *pairs: str) -> None:
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            await stub.put_state(key, value.encode())

    async def do_get(self, stub: ChaincodeStub, key: str) -> bytes:
        return await stub.get_state(key)

    async def do_delete(self, stub: ChaincodeStub, key: str) -> None:
        await stub.delete_state(key)

    async def do_put_surrogate(self, stub: ChaincodeStub) -> None:
        await stub.put_state("\ud800", b"x")

    async def do_put_large(self, stub: ChaincodeStub, key: str, size: str) -> None:
        await stub.put_state(key, b"x" * int(size))

    async def do_size(self, stub: ChaincodeStub, key: str) -> bytes:
        return str(len(await stub.get_state(key))).encode()

    async def do_put_then_get(self, stub: ChaincodeStub, key: str, value: str) -> bytes:
        await stub.put_state(key, value.encode())
        return await stub.get_state(key)

    async def do_append(self, stub: ChaincodeStub, key: str, value: str) -> bytes:
        longer = await stub.get_state(key) + value.encode()
        await stub.put_state(key, longer)
        return longer

    async def do_multiple(self, stub: ChaincodeStub, *keys: str) -> bytes:
        return _text([value.decode() for value in await stub.get_multiple_states(*keys)])

    async def do_put_many(self, stub: ChaincodeStub, prefix: str, count: str) -> None:
        """Write keys counted from zero, and one key again and again: its last value must win."""
        for number in range(int(count)):
            await stub.put_state(f"{prefix}{number:05}", str(number).encode())
            await stub.put_state(f"{prefix}last", str(number).encode())

    async def do_put_then_delete(self, stub: ChaincodeStub, key: str) -> None:
        await stub.put_state(key, b"x")
        await stub.delete_state(key)

    async def do_delete_then_put(self, stub: ChaincodeStub, key: str, value: str) -> None:
        await stub.delete_state(key)
        await stub.put_state(key, value.encode())

    async def do_copy(self, stub: ChaincodeStub, source: str, target: str) -> None:
        await stub.put_state(target, (await stub.get_state(source)) or b"nothing")

    async def do_history(self, stub: ChaincodeStub, key: str) -> bytes:
        rows = [row async for row in await stub.get_history_for_key(key)]
        return _text([[row.tx_id, row.value.decode(), row.is_delete, row.timestamp.seconds] for row in rows])

    # --- ranges ---------------------------------------------------------------------------------

    async def do_range(self, stub: ChaincodeStub, start: str, end: str) -> bytes:
        rows = [row async for row in await stub.get_state_by_range(start, end)]
        return _text([[row.key, row.value.decode()] for row in rows])

    async def do_range_then_put(self, stub: ChaincodeStub, start: str, end: str, key: str) -> bytes:
        count = 0
        async for _ in await stub.get_state_by_range(start, end):
            count += 1
        await stub.put_state(key, str(count).encode())
        return str(count).encode()

    async def do_first_then_put(self, stub: ChaincodeStub, start: str, end: str, key: str) -> bytes:
        first = ""
        async for row in await stub.get_state_by_range(start, end):
            first = row.key
            break
        await stub.put_state(key, first.encode() or b"none")
        return first.encode()

    async def do_page(self, stub: ChaincodeStub, start: str, end: str, size: str, bookmark: str) -> bytes:
        return _page(await stub.get_state_by_range_with_pagination(start, end, int(size), bookmark))

    async def do_page_then_put(self, stub: ChaincodeStub, start: str, end: str) -> None:
        await stub.get_state_by_range_with_pagination(start, end, 2)
        await stub.put_state("after a page", b"x")

    async def do_put_then_page(self, stub: ChaincodeStub, start: str, end: str) -> None:
        await stub.put_state("before a page", b"x")
        await stub.get_state_by_range_with_pagination(start, end, 2)

    async def do_composite_put(self, stub: ChaincodeStub, value: str, kind: str, *attributes: str) -> bytes:
        key = stub.create_composite_key(kind, attributes)
        await stub.put_state(key, value.encode())
        return key.encode()

    async def do_composite_range(self, stub: ChaincodeStub, kind: str, *attributes: str) -> bytes:
        rows = [row async for row in await stub.get_state_by_partial_composite_key(kind, attributes)]
        return _text([[list(_flat(stub, row.key)), row.value.decode()] for row in rows])

    async def do_composite_page(
        self, stub: ChaincodeStub, size: str, bookmark: str, kind: str, *attributes: str
    ) -> bytes:
        page = await stub.get_state_by_partial_composite_key_with_pagination(
            kind, attributes, int(size), bookmark
        )
        return _page(page)

    # --- the transaction ------------------------------------------------------------------------

    async def do_echo(self, stub: ChaincodeStub, *arguments: str) -> bytes:
        return _text(list(arguments))

    async def do_context(self, stub: ChaincodeStub) -> bytes:
        moment, creator = stub.get_tx_timestamp(), stub.get_creator()
        return _text(
            {
                "transaction": stub.get_txid(),
                "channel": stub.get_channel_id(),
                "seconds": moment.seconds,
                "nanos": moment.nanos,
                "msp": creator["mspid"],
                "certificate": bytes(creator["idBytes"]).decode(),
            }
        )

    async def do_transient(self, stub: ChaincodeStub, name: str) -> bytes:
        return stub.get_transient().get(name, b"")

    async def do_event(self, stub: ChaincodeStub, *pairs: str) -> None:
        for name, payload in zip(pairs[::2], pairs[1::2], strict=True):
            stub.set_event(name, payload.encode())
        await stub.put_state(f"event of {stub.get_txid()}", b"x")

    async def do_event_then_fail(self, stub: ChaincodeStub, name: str) -> Response:
        stub.set_event(name, b"x")
        return Response(500, b"", "refused after its event")

    # --- mistakes -------------------------------------------------------------------------------

    async def do_fail(self, stub: ChaincodeStub, text: str) -> Response:
        return Response(500, b"", text)

    async def do_answer(self, stub: ChaincodeStub, status: str, message: str) -> Response:
        return Response(int(status), b"payload", message)

    async def do_write_at_random(self, stub: ChaincodeStub, key: str) -> None:
        await stub.put_state(key, secrets.token_bytes(8))

    async def do_answer_at_random(self, stub: ChaincodeStub) -> bytes:
        return secrets.token_hex(8).encode()

    async def do_event_at_random(self, stub: ChaincodeStub) -> None:
        stub.set_event("random", secrets.token_bytes(8))

    async def do_call(self, stub: ChaincodeStub, name: str) -> bytes:
        return (await stub.invoke_chaincode(name, [b"get", b"x"])).payload

    async def do_call_or_else(self, stub: ChaincodeStub, name: str, key: str) -> bytes:
        """Call another chaincode; write down what came of it."""
        try:
            response = await stub.invoke_chaincode(name, [b"get", b"x"])
            outcome = f"answered {response.status}"
        except Exception as error:
            outcome = f"refused by {type(error).__name__}"
        await stub.put_state(key, outcome.encode())
        return outcome.encode()

    # --- private data ---------------------------------------------------------------------------

    async def do_put_private(self, stub: ChaincodeStub, collection: str, key: str) -> None:
        await stub.put_private_data(collection, key, stub.get_transient()["value"])

    async def do_get_private(self, stub: ChaincodeStub, collection: str, key: str) -> bytes:
        return await stub.get_private_data(collection, key)

    async def do_copy_private(self, stub: ChaincodeStub, collection: str, key: str, target: str) -> None:
        await stub.put_state(target, await stub.get_private_data(collection, key))

    async def do_put_then_get_private(self, stub: ChaincodeStub, collection: str, key: str) -> bytes:
        await stub.put_private_data(collection, key, stub.get_transient()["value"])
        return await stub.get_private_data(collection, key)

    async def do_hash_private(self, stub: ChaincodeStub, collection: str, key: str) -> bytes:
        return (await stub.get_private_data_hash(collection, key)).hex().encode()

    async def do_delete_private(self, stub: ChaincodeStub, collection: str, key: str) -> None:
        await stub.delete_private_data(collection, key)

    async def do_purge_private(self, stub: ChaincodeStub, collection: str, key: str) -> None:
        await stub.purge_private_data(collection, key)

    # --- endorsement of single keys -------------------------------------------------------------

    async def do_set_policy(self, stub: ChaincodeStub, key: str, policy: str) -> None:
        await stub.set_state_validation_parameter(key, bytes.fromhex(policy))

    async def do_get_policy(self, stub: ChaincodeStub, key: str) -> bytes:
        return (await stub.get_state_validation_parameter(key)).hex().encode()


def _flat(stub: ChaincodeStub, key: str) -> Sequence[str]:
    kind, attributes = stub.split_composite_key(key)
    return [kind, *attributes]


def _page(page: Page) -> bytes:
    return _text({"keys": [row.key for row in page.rows], "bookmark": page.bookmark})
