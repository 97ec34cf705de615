"""NVFLARE's own encryption filter, FOBS, aggregator and decryption filter, without the network between them.

Decides the layers that the model is cut into; everything else (TenSEAL's parameters, symmetric keys, a whole context
beside each layer on the wire) is NVFLARE's own. Weights are 1, so that the mean that it returns is a tenth of the sum.
Call: `nvflare_filters LAYERS`.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import logging
import sys
from typing import Any

import numpy as np
import tenseal
from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.utils.decomposers import flare_decomposers
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_opt.he.intime_accumulate_model_aggregator import HEInTimeAccumulateWeightedAggregator
from nvflare.app_opt.he.model_decryptor import HEModelDecryptor
from nvflare.app_opt.he.model_encryptor import HEModelEncryptor
from nvflare.fuel.utils import fobs
from nvflare.lighter.impl.he import HEBuilder

from tests.benchmarks.he.foreign.serve import Float32Vector, Float64Vector, serve

ROUND = 1


class NvflareFilters:
    """One federation: what clients share (the secret key) and what the server has (none)."""

    def __init__(self, layers: int) -> None:
        logging.disable(logging.WARNING)
        flare_decomposers.register()
        builder = HEBuilder()
        builder.initialize(None, None)
        secret = tenseal.context_from(builder.get_serialized_context(is_client=True))
        self._encryptor, self._decryptor = HEModelEncryptor(), HEModelDecryptor()
        self._encryptor.tenseal_context = self._decryptor.tenseal_context = secret
        self._encryptor.encrypt_layers = [True]
        self._layers = layers
        self._values: list[Float32Vector] = []
        self._uploads: list[bytes] = []
        self._aggregate: DXO | None = None
        self.note = "no network; the mean is opened from memory, not from bytes"

    def prepare(self, values: list[Float32Vector]) -> None:
        self._values = values
        self._uploads = [self._upload(number) for number in range(len(values))]

    def client(self) -> bytes:
        return self._upload(0)

    def server(self) -> None:
        aggregator = HEInTimeAccumulateWeightedAggregator(weigh_by_local_iter=False)
        aggregator._initialize(None, None, DataKind.WEIGHT_DIFF)
        context = FLContext()
        context.set_prop(AppConstants.CURRENT_ROUND, ROUND, private=True, sticky=False)
        for upload in self._uploads:
            if not aggregator.accept(fobs.loads(upload), context):
                raise RuntimeError("NVFLARE's aggregator did not accept an upload")
        self._aggregate = from_shareable(aggregator.aggregate(context))

    def open(self) -> Float64Vector:
        opened = self._decryptor.process_dxo(self._aggregate, Shareable(), FLContext())
        layers = [np.array(layer, dtype=np.float64) for layer in opened.data.values()]
        return np.concatenate(layers) * len(self._values)

    def is_exact(self) -> None:
        return None

    def _upload(self, number: int) -> bytes:
        layers = np.array_split(self._values[number], self._layers)
        weights: dict[str, Any] = {f"layer{place}.weight": layer for place, layer in enumerate(layers)}
        dxo = DXO(DataKind.WEIGHT_DIFF, data=weights, meta={MetaKey.NUM_STEPS_CURRENT_ROUND: 1})
        context = FLContext()
        context.set_peer_context(FLContext())
        encrypted = self._encryptor.process_dxo(dxo, Shareable(), context)
        shareable = encrypted.to_shareable()
        shareable.set_peer_props({ReservedKey.IDENTITY_NAME: f"site-{number}"})
        shareable.add_cookie(AppConstants.CONTRIBUTION_ROUND, ROUND)
        upload: bytes = fobs.dumps(shareable)
        return upload


if __name__ == "__main__":
    serve(NvflareFilters(layers=int(sys.argv[1])))
