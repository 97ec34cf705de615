"""The contract that is recorded: the conformance suite's probe, with what a recording needs beside it.

Everything that it does follows from what the peer sends and from the organization that hosts it, so that the same
messages bring the same answers when they are replayed.
"""

from __future__ import annotations

import json

from bfl_chaincode.shim.stub import ChaincodeStub, Response
from tests.conformance.probe_contract import ProbeContract


class RecordedContract(ProbeContract):
    """The probe of one organization. Functions named `json_…` take and give canonical JSON."""

    def __init__(self, msp_id: str) -> None:
        self._msp_id = msp_id

    async def invoke(self, stub: ChaincodeStub) -> Response:
        name, arguments = stub.get_function_and_parameters()
        if name == "escape":
            raise LookupError("a value that nobody may see")
        if name.startswith("json_"):
            return await getattr(self, name)(stub, json.loads(arguments[0]))
        return await super().invoke(stub)

    async def do_many(self, stub: ChaincodeStub, first: str, count: str) -> bytes:
        keys = [f"{first}{number:03}" for number in range(int(count))]
        found = await stub.get_multiple_states(*keys)
        for key in keys:
            await stub.put_state(key, key.encode())
        return str(sum(map(bool, found))).encode()

    async def do_chain(self, stub: ChaincodeStub, name: str, *arguments: str) -> Response:
        answer = await stub.invoke_chaincode(name, [part.encode() for part in arguments])
        return Response(answer.status, answer.payload, answer.message)

    async def do_whose(self, stub: ChaincodeStub, key: str) -> bytes:
        """Write what each organization's service would write differently."""
        await stub.put_state(key, self._msp_id.encode())
        return b"written"

    async def json_echo(self, stub: ChaincodeStub, request: dict[str, str]) -> Response:
        return _canonical(request)

    async def json_tally(self, stub: ChaincodeStub, request: dict[str, str]) -> Response:
        count = int(await stub.get_state(request["key"]) or b"0") + 1
        await stub.put_state(request["key"], str(count).encode())
        return _canonical({"count": count})

    async def json_refuse(self, stub: ChaincodeStub, request: dict[str, str]) -> Response:
        return Response(500, b"", request["text"])

    async def json_differ(self, stub: ChaincodeStub, request: dict[str, str]) -> Response:
        await stub.put_state(request["key"], self._msp_id.encode())
        return _canonical({})

    async def json_announce(self, stub: ChaincodeStub, request: dict[str, str]) -> Response:
        event = {
            "contract": "json",
            "refs": [request["key"]],
            "round": 0,
            "task": "",
            "transaction": "announce",
            "v": 1,
        }
        stub.set_event("json:announce", _canonical(event).payload)
        await stub.put_state(request["key"], b"announced")
        return _canonical({})

    async def json_babble(self, stub: ChaincodeStub, request: dict[str, str]) -> Response:
        return Response(200, b"{ not canonical }", "")


def _canonical(value: object) -> Response:
    return Response(200, json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), "")
