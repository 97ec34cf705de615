"""Published models as safetensors files with the module's own tensor names, and back; numpy only.

Any tool that reads safetensors loads the file into the same architecture; the metadata text says which task, round
and digest it is. Pickle formats are neither written nor read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json, NotCanonical
from bfl_chaincode.api.records import ModelTerms
from bfl_fabric.errors import MalformedInput
from bfl_fabric.training import containers

if TYPE_CHECKING:
    from bfl_fabric.domain.ports import Float32Vector


def export_model(path: Path, model: Float32Vector, terms: ModelTerms, origin: Mapping[str, Json]) -> None:
    """Write a model; `origin` (task, round, digest…) goes into the metadata. Equal arguments give equal bytes.

    Raises MalformedInput when the vector is not a model of these terms.
    """
    _require_model(model, terms, "the model to export")
    tensors, start = {}, 0
    for tensor in terms.tensors:
        stop = start + math.prod(tensor.shape)
        tensors[tensor.name] = model[start:stop].reshape(tensor.shape)
        start = stop
    containers.write(path, tensors, canonical.text(origin))


def import_model(path: Path, terms: ModelTerms) -> tuple[Float32Vector, Json]:
    """Return (float32[parameter_count], origin) of a file that holds exactly the tensors of these terms.

    Raises ConfigurationError when there is no such file and MalformedInput when it is anything else: another
    format, other tensors, another type or shape, trailing bytes, numbers that are not finite.
    """
    plans = {tensor.name: containers.Plan("F32", tensor.shape) for tensor in terms.tensors}
    tensors, metadata = containers.read(path, plans, 4 * terms.parameter_count)
    model = np.concatenate([tensors[tensor.name].reshape(-1) for tensor in terms.tensors]).astype(np.float32)
    _require_model(model, terms, str(path))
    try:
        return model, canonical.parse(metadata) if metadata else {}
    except NotCanonical as error:
        raise MalformedInput(f"{path}: its metadata is not readable: {error}") from error


def _require_model(model: Float32Vector, terms: ModelTerms, what: str) -> None:
    if model.dtype != np.float32 or model.shape != (terms.parameter_count,):
        raise MalformedInput(
            f"{what} is {model.dtype} of shape {model.shape}; {terms.architecture} takes float32 of "
            f"({terms.parameter_count},)"
        )
    if not np.isfinite(model).all():
        raise MalformedInput(f"{what} holds numbers that are not finite")
