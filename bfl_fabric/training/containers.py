"""Files of named tensors, strictly: safetensors with a plan known beforehand, and nothing that can run code.

Decides which files are read at all: a bounded size, exactly the planned names, types and shapes, and one metadata
text. Pickle-based formats (torch archives, npz, joblib) are never opened. What the tensors mean is left to
`tables` and `export`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bfl_fabric.errors import ConfigurationError, MalformedInput, StorageFull

HEADER_BYTES = 65_536
HEADER_BYTES_PER_TENSOR = 512
_METADATA_KEY = "bfl"
"""One key only: the library writes several in an order of its own, and equal content must be equal bytes."""

_FOREIGN = {
    b"PK\x03\x04": "a zip archive (torch.save or npz)",
    b"\x93NUMPY": "a numpy file",
    b"\x89HDF": "an HDF5 file",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What one tensor must be: the format's type name and a shape, None where any positive length will do."""

    dtype: str
    shape: tuple[int | None, ...]

    def admits(self, dtype: str, shape: tuple[int, ...]) -> bool:
        return (
            dtype == self.dtype
            and len(shape) == len(self.shape)
            and all(
                length == wanted or (wanted is None and length > 0)
                for length, wanted in zip(shape, self.shape, strict=True)
            )
        )


def write(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: str) -> None:
    """Write tensors and one metadata text; equal content gives equal bytes. The file is whole or absent."""
    data = save(
        {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}, {_METADATA_KEY: metadata}
    )
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageFull(f"cannot write {path}: {error.strerror or error}") from error


def read(path: Path, plans: Mapping[str, Plan], max_data_bytes: int) -> tuple[dict[str, NDArray[Any]], str]:
    """Return the planned tensors and the metadata text.

    Raises:
        ConfigurationError: there is no such file.
        MalformedInput: it is not a safetensors file of exactly these tensors within the size.
    """
    _require_size(path, max_data_bytes + HEADER_BYTES + HEADER_BYTES_PER_TENSOR * len(plans))
    try:
        with safe_open(path, framework="np") as file:
            _require_planned(path, file, plans)
            return {name: file.get_tensor(name) for name in plans}, (file.metadata() or {}).get(
                _METADATA_KEY, ""
            )
    except (SafetensorError, OSError, ValueError) as error:
        raise MalformedInput(f"{path} is not a safetensors file: {_suspicion(path) or error}") from error


def _require_size(path: Path, limit: int) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from error
    if size > limit:
        raise MalformedInput(f"{path} has {size} bytes; at most {limit} can be right")


def _require_planned(path: Path, file: Any, plans: Mapping[str, Plan]) -> None:
    found = set(file.keys())
    if odd := sorted(found ^ set(plans)):
        state = "unexpected" if odd[0] in found else "missing"
        raise MalformedInput(f"{path}: the tensor {odd[0]!r} is {state}")
    for name, plan in plans.items():
        view = file.get_slice(name)
        dtype, shape = str(view.get_dtype()), tuple(view.get_shape())
        if not plan.admits(dtype, shape):
            raise MalformedInput(f"{path}: {name!r} is {dtype} {shape}; it must be {plan.dtype} {plan.shape}")


def _suspicion(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(8)
    for magic, name in _FOREIGN.items():
        if start.startswith(magic):
            return (
                f"it looks like {name}, which may run code when read and is never opened; export safetensors"
            )
    return ""
