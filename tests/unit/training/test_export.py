"""Models as safetensors files, and everything that is not one."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.training.export import export_model, import_model
from bfl_fabric.training.vectors import flatten, load, model_terms
from tests.unit.training.tasks import small_module

TERMS = model_terms("small", small_module())
MODEL = np.linspace(-1, 1, 67).astype(np.float32)
ORIGIN = {"task": "task-1", "round": 3}


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    export_model(path, MODEL, TERMS, ORIGIN)
    return path


def test_a_model_comes_back_with_its_origin(exported: Path) -> None:
    model, origin = import_model(exported, TERMS)
    assert model.dtype == np.float32
    assert (model == MODEL).all()
    assert origin == ORIGIN


def test_equal_models_are_equal_files(exported: Path, tmp_path: Path) -> None:
    export_model(tmp_path / "again", MODEL, TERMS, dict(reversed(ORIGIN.items())))
    assert (tmp_path / "again").read_bytes() == exported.read_bytes()


def test_the_file_loads_into_the_module_with_the_publics_own_tools(exported: Path) -> None:
    module = small_module()
    module.load_state_dict(load_file(exported))
    assert (flatten(module) == MODEL).all()


def test_a_scalar_tensor_travels(tmp_path: Path) -> None:
    module = torch.nn.Module()
    module.scale = torch.nn.Parameter(torch.tensor(2.0))
    terms = model_terms("scalar", module)
    export_model(tmp_path / "scalar", flatten(module), terms, {})
    load(module, import_model(tmp_path / "scalar", terms)[0])
    assert module.scale.item() == 2


@pytest.mark.parametrize(
    "model",
    [np.zeros(66, dtype=np.float32), np.zeros(67), np.full(67, np.nan, dtype=np.float32)],
)
def test_exporting_refuses_what_is_no_model_of_the_task(tmp_path: Path, model: np.ndarray) -> None:
    with pytest.raises(MalformedInput):
        export_model(tmp_path / "model", model, TERMS, {})
    assert not list(tmp_path.iterdir())


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02.")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94.", "a pickle"),
        (b"\x80\x02}q\x00.", "a pickle"),
        (archive(), "zip archive"),
        (b"\x93NUMPY\x01\x00" + bytes(120), "a numpy file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
    ],
)
def test_formats_that_may_run_code_are_named_and_never_opened(
    tmp_path: Path, data: bytes, named: str
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(data)
    with pytest.raises(MalformedInput, match=rf"{named}.*never opened; export safetensors"):
        import_model(path, TERMS)


def rebuilt(header: object, data: bytes, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def parts(path: Path) -> tuple[dict[str, dict[str, object]], bytes]:
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def test_every_truncation_and_every_trailing_byte_is_refused(exported: Path) -> None:
    raw = exported.read_bytes()
    for wrong in (*(raw[:length] for length in range(0, len(raw), 7)), raw + b"\0", b"\0" + raw):
        exported.write_bytes(wrong)
        with pytest.raises(MalformedInput):
            import_model(exported, TERMS)


def test_the_rebuilt_file_is_accepted_when_nothing_was_changed(exported: Path) -> None:
    """So the refusals below are for what they change."""
    exported.write_bytes(rebuilt(*parts(exported)))
    assert (import_model(exported, TERMS)[0] == MODEL).all()


@pytest.mark.parametrize("length", [2**62, 2**64 - 1, 2**31, 0, 1])
def test_a_header_of_an_impossible_length_is_refused(exported: Path, length: int) -> None:
    header, data = parts(exported)
    exported.write_bytes(rebuilt(header, data, length))
    with pytest.raises(MalformedInput):
        import_model(exported, TERMS)


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "F64"},
        {"dtype": "I32"},
        {"dtype": "F16"},
        {"dtype": "NONE"},
        {"shape": [4, 8]},
        {"shape": [32]},
        {"shape": [2**62, 4]},
        {"shape": [-8, -4]},
        {"shape": []},
        {"data_offsets": [0, 4]},
        {"data_offsets": [4, 132]},
        {"data_offsets": [128, 0]},
        {"data_offsets": [0, 2**62]},
    ],
)
def test_a_tensor_of_another_type_shape_or_place_is_refused(
    exported: Path, change: dict[str, object]
) -> None:
    header, data = parts(exported)
    header["0.weight"].update(change)
    exported.write_bytes(rebuilt(header, data))
    with pytest.raises(MalformedInput):
        import_model(exported, TERMS)


def test_overlapping_tensors_are_refused(exported: Path) -> None:
    header, data = parts(exported)
    header["2.bias"]["data_offsets"] = header["0.bias"]["data_offsets"]
    exported.write_bytes(rebuilt(header, data))
    with pytest.raises(MalformedInput):
        import_model(exported, TERMS)


def test_a_missing_a_renamed_and_an_additional_tensor_are_refused(exported: Path) -> None:
    header, data = parts(exported)
    renamed = {("0.gewicht" if name == "0.weight" else name): entry for name, entry in header.items()}
    more = {**header, "more": {"dtype": "F32", "shape": [1], "data_offsets": [len(data), len(data) + 4]}}
    less = {name: entry for name, entry in header.items() if name != "0.weight"}
    for changed, payload in ((renamed, data), (more, data + bytes(4)), (less, data)):
        exported.write_bytes(rebuilt(changed, payload))
        with pytest.raises(MalformedInput):
            import_model(exported, TERMS)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(exported: Path, number: float) -> None:
    header, data = parts(exported)
    exported.write_bytes(rebuilt(header, data[:-4] + struct.pack("<f", number)))
    with pytest.raises(MalformedInput, match="not finite"):
        import_model(exported, TERMS)


def test_metadata_that_is_no_canonical_json_is_refused(exported: Path) -> None:
    header, data = parts(exported)
    header["__metadata__"] = {"bfl": "{"}
    exported.write_bytes(rebuilt(header, data))
    with pytest.raises(MalformedInput, match="metadata"):
        import_model(exported, TERMS)


def test_a_file_without_metadata_has_no_origin(exported: Path) -> None:
    header, data = parts(exported)
    del header["__metadata__"]
    exported.write_bytes(rebuilt(header, data))
    assert import_model(exported, TERMS)[1] == {}


def test_a_file_far_too_large_is_refused_before_it_is_read(exported: Path) -> None:
    with exported.open("r+b") as file:
        file.truncate(2**33)
    with pytest.raises(MalformedInput, match="8589934592 bytes; at most"):
        import_model(exported, TERMS)


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        import_model(tmp_path / "absent", TERMS)
