"""Local training and evaluation as functions of their arguments."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, WeightedRandomSampler

from bfl_fabric.errors import ConfigurationError, MalformedInput, TrainingDiverged
from bfl_fabric.training.descent import Objective
from bfl_fabric.training.samples import Samples
from bfl_fabric.training.trainer import TorchEvaluator, TorchTrainer
from bfl_fabric.training.vectors import build, flatten
from tests.unit.training.tasks import small_module, small_samples, small_spec

BASE = flatten(build(small_module, 7))
SAMPLES = small_samples()


def dropout_module() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3))


def norm_module() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 3))


def trained(participant: str = "silo-1", number: int = 1, **changes: int | str) -> np.ndarray:
    return TorchTrainer(participant, small_module, SAMPLES).train(small_spec(**changes), number, BASE).delta


def test_training_gives_the_same_bits_whenever_it_is_repeated() -> None:
    first = trained()
    torch.manual_seed(99)
    random.seed(99)
    assert (trained() == first).all()


def test_training_depends_on_seed_round_and_participant() -> None:
    results = [trained(), trained(participant="silo-2"), trained(number=2), trained(seed=8)]
    assert len({result.tobytes() for result in results}) == 4


SCRIPT = """
import hashlib, sys
from tests.unit.training.test_trainer import BASE, dropout_module, small_samples
from tests.unit.training.tasks import small_spec
from bfl_fabric.training.trainer import TorchTrainer
from bfl_fabric.training.vectors import build, flatten
trainer = TorchTrainer("silo-1", dropout_module, small_samples())
spec = small_spec(dropout_module)
print(hashlib.sha256(trainer.train(spec, 3, flatten(build(dropout_module, 7))).delta.tobytes()).hexdigest())
"""


def test_training_gives_the_same_bits_in_other_processes_with_other_thread_counts_and_hash_seeds() -> None:
    root = Path(__file__).parents[3]
    found = set()
    for threads, hash_seed in (("1", "0"), ("2", "12345")):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", SCRIPT]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, env=environment)
        found.add(done.stdout.strip())
    base = flatten(build(dropout_module, 7))
    here = TorchTrainer("silo-1", dropout_module, small_samples()).train(small_spec(dropout_module), 3, base)
    assert found == {hashlib.sha256(here.delta.tobytes()).hexdigest()}


def test_training_in_several_threads_at_once_gives_the_bits_of_training_alone() -> None:
    base = flatten(build(dropout_module, 7))
    spec = small_spec(dropout_module)

    def delta(name: str) -> bytes:
        return TorchTrainer(name, dropout_module, SAMPLES).train(spec, 1, base).delta.tobytes()

    names = [f"silo-{number}" for number in range(4)]
    alone = {name: delta(name) for name in names}
    together: dict[str, bytes] = {}
    threads = [
        threading.Thread(target=lambda name=name: together.update({name: delta(name)})) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_training_leaves_the_process_as_it_found_it() -> None:
    def state() -> tuple[object, ...]:
        numpy_state = np.random.get_state()
        return (
            torch.get_rng_state().tolist(),
            random.getstate(),
            numpy_state[1].tolist(),
            torch.get_num_threads(),
            torch.get_deterministic_debug_mode(),
        )

    before = state()
    trained()
    assert state() == before


def test_training_restores_the_process_after_an_error() -> None:
    threads = torch.get_num_threads()
    with pytest.raises(TrainingDiverged):
        trained(learning_rate="999999999")
    assert torch.get_num_threads() == threads
    assert torch.get_deterministic_debug_mode() == 0


def test_training_leaves_the_base_model_alone_and_reports_samples_and_loss() -> None:
    base = BASE.copy()
    update = TorchTrainer("silo-1", small_module, SAMPLES).train(small_spec(), 1, base)
    assert (base == BASE).all()
    assert update.samples == 50
    assert update.delta.dtype == np.float32
    assert 0 < update.loss_ppb < 1_100_000_000


def test_training_follows_the_rule_of_momentum() -> None:
    """Full batches, so that the order does not matter: compared with torch's own optimizer."""
    spec = small_spec(batch_size=50, local_epochs=4)
    delta = TorchTrainer("silo-1", small_module, SAMPLES).train(spec, 1, BASE).delta
    module = build(small_module, 7)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    for _ in range(4):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(SAMPLES.inputs), SAMPLES.targets).backward()
        optimizer.step()
    assert np.allclose(delta, flatten(module) - BASE, atol=1e-6)


def test_training_learns() -> None:
    spec = small_spec()
    evaluator = TorchEvaluator(small_module, SAMPLES)
    after = evaluator.evaluate(spec, BASE + trained())
    before = evaluator.evaluate(spec, BASE)
    assert after.accuracy_ppb > before.accuracy_ppb
    assert after.loss_ppb < before.loss_ppb
    assert after.samples == 50


def test_evaluation_counts_exactly() -> None:
    identity = torch.nn.Linear(3, 3, bias=False)
    model = np.eye(3, dtype=np.float32).reshape(-1)
    samples = Samples(torch.eye(3)[[0, 1, 2]], torch.tensor([0, 1, 0]))
    spec = small_spec(lambda: torch.nn.Linear(3, 3, bias=False))
    metrics = TorchEvaluator(lambda: identity, samples).evaluate(spec, model)
    expected = (2 * np.log(1 + 2 / np.e) + (1 + np.log(1 + 2 / np.e))) / 3
    assert metrics.accuracy_ppb == 666_666_666
    assert abs(metrics.loss_ppb / 1e9 - expected) < 1e-6


def test_a_data_loader_gives_the_bits_of_the_same_tensors() -> None:
    loader = DataLoader(TensorDataset(SAMPLES.inputs, SAMPLES.targets), batch_size=3, shuffle=True)
    trainer = TorchTrainer("silo-1", small_module, loader)
    assert trainer.samples == 50
    assert (trainer.train(small_spec(), 1, BASE).delta == trained()).all()


class Noisy(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Augments with all three random states that a user's code may draw from."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        noise = torch.randn(4) + random.random() + float(np.random.rand())
        return SAMPLES.inputs[index] + 0.1 * noise, SAMPLES.targets[index]


def test_random_augmentation_is_repeated_bit_for_bit() -> None:
    loader = DataLoader(Noisy(), batch_size=4)
    first, second = (
        TorchTrainer("silo-1", small_module, loader).train(small_spec(), 1, BASE) for _ in range(2)
    )
    assert (first.delta == second.delta).all()


def test_batch_normalization_trains_and_its_counter_stays_with_the_silo() -> None:
    spec = small_spec(norm_module, batch_size=7)
    base = flatten(build(norm_module, 7))
    update = TorchTrainer("silo-1", norm_module, SAMPLES).train(spec, 1, base)
    assert "1.running_var" in [tensor.name for tensor in spec.model.tensors]
    assert "1.num_batches_tracked" not in [tensor.name for tensor in spec.model.tensors]
    assert update.delta.shape == base.shape


def test_frozen_parameters_do_not_move() -> None:
    def half_frozen() -> torch.nn.Module:
        module = small_module()
        module[0].requires_grad_(False)  # type: ignore[index]
        return module

    delta = TorchTrainer("silo-1", half_frozen, SAMPLES).train(small_spec(half_frozen), 1, BASE).delta
    assert not delta[:40].any()
    assert delta[40:].any()


def test_an_application_may_bring_its_own_objective() -> None:
    def regressor() -> torch.nn.Module:
        return torch.nn.Linear(4, 1)

    def close(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs - targets).abs().squeeze(1) < 0.5

    samples = Samples(SAMPLES.inputs, SAMPLES.targets.float().reshape(-1, 1) - 1)
    objective = Objective(torch.nn.functional.mse_loss, close)
    spec = small_spec(regressor, learning_rate="0.02")
    base = flatten(build(regressor, 7))
    update = TorchTrainer("silo-1", regressor, samples, objective).train(spec, 1, base)
    assert (
        TorchEvaluator(regressor, samples, objective).evaluate(spec, base + update.delta).accuracy_ppb
        > 900_000_000
    )


def test_training_that_diverges_names_silo_round_and_batch() -> None:
    with pytest.raises(
        TrainingDiverged, match=r"silo-1, round 1: the loss is .* epoch \d, batch \d.*learning rate"
    ):
        trained(learning_rate="999999999")


def test_training_whose_last_step_breaks_a_weight_is_refused() -> None:
    """The loss is looked at before each step, so the step after the last loss needs a look of its own."""
    huge = Objective(lambda outputs, targets: outputs.sum() * 1e30, lambda outputs, targets: targets == 0)
    spec = small_spec(learning_rate="999999999", batch_size=50, local_epochs=1)
    with pytest.raises(TrainingDiverged, match="a weight is not finite"):
        TorchTrainer("silo-1", small_module, SAMPLES, huge).train(spec, 1, BASE)


def test_evaluation_of_a_model_without_a_finite_loss_is_refused() -> None:
    with pytest.raises(TrainingDiverged, match="evaluation batch 1"):
        TorchEvaluator(small_module, SAMPLES).evaluate(
            small_spec(), np.full(BASE.size, 3e38, dtype=np.float32)
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_training_refuses_a_base_model_that_is_not_finite(bad: float) -> None:
    base = BASE.copy()
    base[3] = bad
    with pytest.raises(MalformedInput, match="not finite"):
        TorchTrainer("silo-1", small_module, SAMPLES).train(small_spec(), 1, base)


def test_training_refuses_another_model_than_the_tasks() -> None:
    with pytest.raises(
        ConfigurationError, match=r"not the task's 'small'.*0\.weight \(5, 4\).*0\.weight \(8, 4\)"
    ):
        TorchTrainer("silo-1", lambda: torch.nn.Sequential(torch.nn.Linear(4, 5)), SAMPLES).train(
            small_spec(), 1, BASE
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": "0"},
        {"learning_rate": "-0.1"},
        {"learning_rate": "1e-3"},
        {"learning_rate": "nan"},
        {"momentum": "1"},
        {"momentum": "half"},
        {"batch_size": 0},
        {"local_epochs": 0},
    ],
)
def test_training_refuses_hyperparameters_without_sense(changes: dict[str, int | str]) -> None:
    with pytest.raises(ConfigurationError):
        trained(**changes)


class Stream(IterableDataset[int]):
    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(range(3))


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (DataLoader(Stream()), "no stream"),
        (DataLoader(Noisy(), batch_size=None), "no stream"),
        (DataLoader(Noisy(), sampler=WeightedRandomSampler([1.0] * 20, 20)), "WeightedRandomSampler"),
        (DataLoader(Noisy(), batch_sampler=[[0, 1], [2]]), "batch_sampler"),
    ],
)
def test_a_data_loader_that_cannot_be_repeated_is_refused(loader: DataLoader[object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        TorchTrainer("silo-1", small_module, loader)


def test_a_data_loader_whose_batches_are_no_pairs_is_refused() -> None:
    loader = DataLoader(TensorDataset(SAMPLES.inputs), batch_size=4)
    with pytest.raises(ConfigurationError, match="pair"):
        TorchTrainer("silo-1", small_module, loader).train(small_spec(), 1, BASE)


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(4), "one each"),
        (torch.zeros(0, 2), torch.zeros(0), "no samples"),
        (torch.tensor(1.0), torch.tensor(1.0), "one each"),
        (torch.tensor([[float("nan")]]), torch.zeros(1), "inputs hold NaN"),
        (torch.zeros(1, 1), torch.tensor([float("inf")]), "targets hold NaN"),
    ],
)
def test_samples_without_sense_are_refused(inputs: torch.Tensor, targets: torch.Tensor, message: str) -> None:
    with pytest.raises(MalformedInput, match=message):
        Samples(inputs, targets)


def test_a_module_without_anything_to_train_is_refused() -> None:
    def frozen() -> torch.nn.Module:
        return small_module().requires_grad_(False)

    with pytest.raises(ConfigurationError, match="nothing to train"):
        TorchTrainer("silo-1", frozen, SAMPLES).train(small_spec(frozen), 1, BASE)


def test_training_needs_none_of_torchs_compiler() -> None:
    """Its import takes seconds in every silo's process."""
    script = (
        "import sys, time; from tests.unit.training.test_trainer import trained; trained(); "
        "print(sorted({'torch._dynamo', 'torch._inductor', 'sympy', 'sklearn'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == "[]"


def test_a_local_round_of_the_demo_is_quick() -> None:
    """Measured in processor time, because the machines that run tests are shared."""
    spec = small_spec(batch_size=16, local_epochs=2)
    trainer = TorchTrainer("silo-1", small_module, small_samples(150))
    trainer.train(spec, 1, BASE)
    start = time.process_time()
    trainer.train(spec, 2, BASE)
    assert time.process_time() - start < 0.3
