"""Flower's SecAgg+: its client mod and its server workflow, their messages in protobuf, without a network between.

Decides what Flower leaves to its user: everyone shares with everyone, 6 of 10 shares unmask, clipping at the
benchmark's range, weight 1 of at most 1 (so that no precision goes to weights); quantization to 2^22 and masks below
2^32 are Flower's. A client's time and bytes are those of all four stages: keys, shares, masked vector, unmasking.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import copy
import importlib
import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.common import (
    Code,
    FitIns,
    FitRes,
    Parameters,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, RECORD_KEY_STATE, Key
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.compat.common import recorddict_compat as compat
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from flwr.server.workflow.secure_aggregation.secaggplus_workflow import SecAggPlusWorkflow, WorkflowState
from flwr.supercore.task_identity import TaskIdentity

from tests.benchmarks.he.foreign.serve import Float32Vector, Float64Vector, serve

mod: Any = importlib.import_module("flwr.client.mod.secure_aggregation.secaggplus_mod")
"""By name: its package has a function of the same name."""
CLIP, TARGET_RANGE, MODULUS = 0.25, 2**22, 2**32
UNMASKING_SHARE = 0.6
NOTHING = Parameters([], "numpy.ndarray")


class Proxy:
    """A client as the workflow's strategy names it."""

    def __init__(self, node_id: int) -> None:
        self.node_id = node_id


class Strategy:
    """Selects every client, sends no model, and keeps what the workflow hands over. Counts as client manager too."""

    def __init__(self, clients: int) -> None:
        self._clients = clients
        self.aggregated = NOTHING

    def num_available(self) -> int:
        return self._clients

    def configure_fit(self, *_: Any) -> list[tuple[Proxy, FitIns]]:
        return [(Proxy(number + 1), FitIns(NOTHING, {})) for number in range(self._clients)]

    def aggregate_fit(self, _: int, results: Any, failures: list[Exception]) -> tuple[None, dict[str, Any]]:
        if failures:
            raise RuntimeError(f"{len(failures)} of Flower's clients failed")
        self.aggregated = results[0][1].parameters
        return None, {}


class Clients:
    """All clients at the other end of the workflow's messages; keeps what was asked and answered last."""

    def __init__(self, values: list[Float32Vector]) -> None:
        self._values = {number + 1: vector for number, vector in enumerate(values)}
        self.contexts = {node: _context(node) for node in self._values}
        self.asked: dict[int, Message] = {}
        self.answered: dict[int, bytes] = {}

    def send_and_receive(self, messages: Iterable[Message], **_: Any) -> list[Message]:
        """Answer as Flower's grid does."""
        asked = list(messages)
        self.asked = {message.metadata.dst_node_id: copy.deepcopy(message) for message in asked}
        self.answered = {
            node: self.answer(message, self.contexts[node]) for node, message in self.asked.items()
        }
        return received(self.answered.values())

    def answer(self, message: Message, context: Context) -> bytes:
        """Let the client that the message is for answer it; return the bytes of its reply."""
        reply = mod.secaggplus_mod(copy.deepcopy(message), context, self._fitted)
        answer: bytes = message_to_proto(reply).SerializeToString()
        return answer

    def _fitted(self, message: Message, context: Context) -> Message:
        update = ndarrays_to_parameters([self._values[context.node_id]])
        result = FitRes(Status(Code.OK, ""), update, num_examples=1, metrics={})
        return Message(compat.fitres_to_recorddict(result, keep_input=False), reply_to=message)


class Answers:
    """A grid where every client has answered already."""

    def __init__(self, answers: Iterable[bytes]) -> None:
        self._answers = list(answers)

    def send_and_receive(self, *_: Any, **__: Any) -> list[Message]:
        return received(self._answers)


class FlowerSecAggPlus:
    """A round of the protocol, kept at each stage so that any of them can be done again."""

    def __init__(self) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
        logging.getLogger("flwr").setLevel(logging.ERROR)
        self._workflow = SecAggPlusWorkflow(
            1.0,
            UNMASKING_SHARE,
            max_weight=1.0,
            clipping_range=CLIP,
            quantization_range=TARGET_RANGE,
            modulus_range=MODULUS,
        )
        self._messages: list[dict[int, Message]] = []
        self._states: list[dict[int, ConfigRecord]] = []
        self._mean = np.empty(0)
        self.note = ""

    def prepare(self, values: list[Float32Vector]) -> None:
        self._strategy = Strategy(len(values))
        self._context = LegacyContext(_context(0), strategy=self._strategy, client_manager=self._strategy)
        round_number = ConfigRecord({WorkflowKey.CURRENT_ROUND: 1})
        self._context.state.config_records[MAIN_CONFIGS_RECORD] = round_number
        self._context.state.array_records[MAIN_PARAMS_RECORD] = compat.parameters_to_arrayrecord(
            NOTHING, True
        )
        self._clients = Clients(values)
        self._state = WorkflowState()
        self._done(self._workflow.setup_stage(self._clients, self._context, self._state))
        shares = self._done(self._workflow.share_keys_stage(self._clients, self._context, self._state))
        self._before_vectors = copy.deepcopy(self._state)
        with _recorded_quantization() as quantized:
            stage = self._workflow.collect_masked_vectors_stage(self._clients, self._context, self._state)
        self._uploads = list(self._done(stage).values())
        self._expected = np.sum(quantized, axis=0)
        self.server()
        answers = self._done(self._workflow.unmask_stage(self._clients, self._context, self._state))
        self.note = (
            f"bytes include keys and shares ({_mean_kb(shares)} kB before the vector, {_mean_kb(answers)} kB "
            "after it); opening asks all clients once more; masks come from a generator seeded with 32 bits"
        )

    def client(self) -> int:
        """Do the four stages of one client; the vector and its masks are nearly all of it."""
        node = min(self._clients.contexts)
        context = _context(node)
        answers = [self._clients.answer(self._messages[0][node], context)]
        keys = received(answers)[0].content.config_records[RECORD_KEY_CONFIGS]
        asked = copy.deepcopy(self._messages[1][node])
        own = [keys[Key.PUBLIC_KEY_1], keys[Key.PUBLIC_KEY_2]]
        asked.content.config_records[RECORD_KEY_CONFIGS][str(node)] = own
        answers.append(self._clients.answer(asked, context))
        for stage in (2, 3):
            context = _context(node, self._states[stage - 1][node])
            answers.append(self._clients.answer(self._messages[stage][node], context))
        return sum(len(answer) for answer in answers)

    def server(self) -> None:
        self._state = copy.deepcopy(self._before_vectors)
        grid = Answers(self._uploads)
        if not self._workflow.collect_masked_vectors_stage(grid, self._context, self._state):
            raise RuntimeError("Flower's workflow stopped while it collected masked vectors")

    def open(self) -> Float64Vector:
        """Ask all for the shares of the seeds, recover them, and take ten masks off the sum."""
        for node, context in self._clients.contexts.items():
            context.state.config_records[RECORD_KEY_STATE] = copy.deepcopy(self._states[2][node])
        if not self._workflow.unmask_stage(self._clients, self._context, self._state):
            raise RuntimeError("Flower's workflow stopped while it removed the masks")
        self._mean = parameters_to_ndarrays(self._strategy.aggregated)[0]
        return self._mean * len(self._uploads)

    def is_exact(self) -> bool:
        clients = len(self._uploads)
        levels = (self._mean + CLIP) * clients * TARGET_RANGE / (2 * CLIP)
        return bool(np.abs(levels - self._expected).max() < 0.01)

    def _done(self, stage_went_on: bool) -> dict[int, bytes]:
        """Keep the stage's messages and the clients' states after it; return what the clients answered."""
        if not stage_went_on:
            raise RuntimeError("Flower's workflow stopped")
        self._messages.append(self._clients.asked)
        self._states.append(
            {
                node: copy.deepcopy(context.state.config_records[RECORD_KEY_STATE])
                for node, context in self._clients.contexts.items()
            }
        )
        return self._clients.answered


class _recorded_quantization:
    """While this lasts, what the mod's quantization returns is kept: it rounds at random."""

    def __enter__(self) -> list[Any]:
        self._original = mod.quantize
        kept: list[Any] = []

        def quantize(*arguments: Any) -> Any:
            quantized = self._original(*arguments)
            kept.append(quantized[0].astype(np.int64))
            return quantized

        mod.quantize = quantize
        return kept

    def __exit__(self, *_: object) -> None:
        mod.quantize = self._original


def received(answers: Iterable[bytes]) -> list[Message]:
    """Return the messages in these bytes."""
    return [message_from_proto(ProtoMessage.FromString(answer)) for answer in answers]


def _context(node: int, state: ConfigRecord | None = None) -> Context:
    context = Context(run_id=1, node_id=node, node_config={}, state=RecordDict(), run_config={})
    if state is not None:
        context.state.config_records[RECORD_KEY_STATE] = copy.deepcopy(state)
    return context


def _mean_kb(answers: dict[int, bytes]) -> str:
    return f"{sum(len(answer) for answer in answers.values()) / len(answers) / 1000:.1f}"


if __name__ == "__main__":
    serve(FlowerSecAggPlus())
