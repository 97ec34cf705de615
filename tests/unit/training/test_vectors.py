"""Modules as flat vectors, and the named architectures."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from bfl_fabric.errors import ConfigurationError, MalformedInput
from bfl_fabric.learning.arithmetic import ExactArithmetic
from bfl_fabric.training.describe import describe
from bfl_fabric.training.models import ARCHITECTURES, architecture
from bfl_fabric.training.samples import samples_of
from bfl_fabric.training.schemas import SCHEMAS
from bfl_fabric.training.tables import Table
from bfl_fabric.training.vectors import build, flatten, load, model_terms, require_terms
from tests.unit.training.tasks import small_module


def test_a_vector_is_the_tensors_in_order_row_by_row() -> None:
    module = small_module()
    state = module.state_dict()
    expected = np.concatenate(
        [state[name].numpy().reshape(-1) for name in ("0.weight", "0.bias", "2.weight", "2.bias")]
    )
    assert (flatten(module) == expected).all()


def test_a_vector_put_into_a_module_comes_back_bit_for_bit() -> None:
    vector = np.linspace(-3, 3, 67).astype(np.float32)
    module = small_module()
    load(module, vector)
    assert (flatten(module) == vector).all()


def test_a_flattened_vector_is_a_copy() -> None:
    module = small_module()
    vector = flatten(module)
    load(module, np.zeros(67, dtype=np.float32))
    assert vector.any()


@pytest.mark.parametrize(
    "vector", [np.zeros(66, dtype=np.float32), np.zeros(67), np.zeros((67, 1), dtype=np.float32)]
)
def test_loading_refuses_another_length_type_or_shape(vector: np.ndarray) -> None:
    with pytest.raises(MalformedInput, match=r"float32 of \(67,\)"):
        load(small_module(), vector)


def test_building_is_a_function_of_the_seed_and_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    first, second, other = (flatten(build(small_module, seed)) for seed in (1, 1, 2))
    assert (first == second).all()
    assert (first != other).any()
    assert torch.equal(torch.get_rng_state(), before)


def test_model_terms_name_shapes_count_and_the_digest_of_the_packed_model() -> None:
    module = build(small_module, 1)
    terms = model_terms("small", module)
    assert [(tensor.name, tensor.shape) for tensor in terms.tensors] == [
        ("0.weight", (8, 4)),
        ("0.bias", (8,)),
        ("2.weight", (3, 8)),
        ("2.bias", (3,)),
    ]
    assert terms.parameter_count == 67
    assert terms.initial_digest == hashlib.sha256(ExactArithmetic().pack_model(flatten(module))).hexdigest()


def test_describing_a_factory_gives_the_bytes_that_the_terms_name() -> None:
    terms, data = describe("small", small_module, 5)
    assert hashlib.sha256(data).hexdigest() == terms.initial_digest
    assert (ExactArithmetic().unpack_model(data, 67) == flatten(build(small_module, 5))).all()


def test_terms_of_another_order_are_refused() -> None:
    terms = model_terms("small", small_module())
    with pytest.raises(ConfigurationError, match="nothing more"):
        require_terms(torch.nn.Sequential(torch.nn.Linear(4, 8)), terms)


def with_buffer(buffer: torch.Tensor, persistent: bool = True) -> torch.nn.Module:
    module = small_module()
    module.register_buffer("extra", buffer, persistent=persistent)
    return module


class Stateful(torch.nn.Linear):
    def get_extra_state(self) -> object:
        return {"anything": 1}


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (small_module().double(), "float64; only float32 travels"),
        (small_module().half(), "float16"),
        (with_buffer(torch.zeros(2, dtype=torch.int64)), "extra is torch.int64.*persistent=False"),
        (with_buffer(torch.zeros(2, dtype=torch.bool)), "torch.bool"),
        (with_buffer(torch.zeros(0)), "extra is empty"),
        (with_buffer(torch.zeros(2, 2).to_sparse()), "dense"),
        (with_buffer(torch.zeros(2, device="meta")), "on the CPU"),
        (torch.nn.LazyLinear(3), "no shape yet"),
        (Stateful(2, 2), "extra state"),
        (torch.nn.ReLU(), "no tensors"),
    ],
)
def test_a_module_that_cannot_travel_is_refused_with_what_to_do(
    module: torch.nn.Module, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        model_terms("odd", module)


def test_a_buffer_that_is_not_persistent_stays_with_the_silo() -> None:
    assert (
        model_terms("x", with_buffer(torch.zeros(2, dtype=torch.int64), persistent=False)).parameter_count
        == 67
    )


def test_a_scalar_parameter_travels() -> None:
    module = torch.nn.Module()
    module.scale = torch.nn.Parameter(torch.tensor(2.0))
    terms = model_terms("scalar", module)
    assert (terms.parameter_count, terms.tensors[0].shape) == (1, ())
    load(module, np.array([5], dtype=np.float32))
    assert module.scale.item() == 5


def test_tied_weights_stay_tied() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    module[1].weight = module[0].weight
    vector = flatten(module)
    load(module, vector * 2)
    assert module[1].weight is module[0].weight
    assert (flatten(module) == vector * 2).all()


def test_a_factory_that_makes_no_module_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="made a int"):
        build(lambda: 3, 1)  # type: ignore[arg-type,return-value]


def test_an_unknown_architecture_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="breast-cancer-mlp, digits-mlp"):
        architecture("resnet")


@pytest.mark.parametrize("name", ["breast-cancer", "digits"])
def test_each_named_architecture_fits_its_data(name: str) -> None:
    schema = SCHEMAS[name]
    table = Table(name, np.zeros((2, len(schema.features))), np.zeros(2, dtype=np.int64))
    module = build(ARCHITECTURES[f"{name}-mlp"], 1)
    assert module(samples_of(table).inputs).shape == (2, len(schema.classes))
