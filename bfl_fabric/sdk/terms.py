"""The terms of a task as an application states them, with defaults for what it does not care about."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from bfl_chaincode.api import canonical
from bfl_chaincode.api.records import (
    PACKED_SCHEME,
    PPB,
    THRESHOLD_SCHEME,
    CohortTerms,
    DataTerms,
    EncryptionTerms,
    IncentiveTerms,
    ModelTerms,
    RoleTerms,
    ScheduleTerms,
    TaskSpec,
    TrainingTerms,
    VerificationTerms,
)
from bfl_fabric import config
from bfl_fabric.errors import ConfigurationError

SCHEMES = ("ckks", PACKED_SCHEME, THRESHOLD_SCHEME)
"""The words by which a task names its encryption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTerms:
    """What may be chosen for a task; decimals are strings so that every machine reads the same number.

    `pool` is paid in equal parts over the rounds. `clip` bounds each coordinate of an update, which then has
    `value_bits` bits; the scheme must carry sums of them up to `max_total_weight` (samples of all silos).

    `scheme` is `ckks` (one organization holds the key), `packed` (so it does, and every silo is given it: the smallest
    updates) or `threshold`: every organization of `key_members`, by default all that have a key holder's node, holds a
    share, and `threshold` of them, by default a majority, open together. `share_seconds` is the time for each step of
    that.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    task_id: str
    title: str
    purpose: str = "research"
    rounds: int = 10
    minimum_cohort: int = 4
    upload_seconds: int = 120
    learning_rate: str = "0.05"
    momentum: str = "0.9"
    batch_size: int = 16
    local_epochs: int = 1
    seed: int = 1
    clip: str = "0.5"
    value_bits: int = 16
    max_total_weight: int = 32_768
    minimum_samples: int = 1
    data_schema: str = "features float32, label int64"
    pool: int = 10_000
    alpha_ppb: int = PPB // 2
    consistency_window: int = 5
    reputation_lambda_ppb: int = 8 * PPB // 10
    attestations: int | None = None
    receipts: int = 2
    scheme: str = "ckks"
    key_members: tuple[str, ...] = ()
    threshold: int = 0
    share_seconds: int = 60

    def encryption(self, parameters_digest: str, key_members: int = 0) -> EncryptionTerms:
        """Return the encryption terms for a scheme whose parameters have this digest."""
        threshold = (self.threshold or max(2, key_members // 2 + 1)) if key_members else 0
        return EncryptionTerms(
            self.scheme, parameters_digest, self.value_bits, self.clip, self.max_total_weight, threshold
        )

    def spec(
        self, model: ModelTerms, roles: RoleTerms, organizations: int, parameters_digest: str
    ) -> TaskSpec:
        """Return the complete spec; attestations default to the majority of the organizations."""
        majority = organizations // 2 + 1
        return TaskSpec(
            task_id=self.task_id,
            title=self.title,
            purpose=self.purpose,
            model=model,
            training=TrainingTerms(
                self.learning_rate, self.momentum, self.batch_size, self.local_epochs, self.seed
            ),
            data=DataTerms(canonical.digest({"schema": self.data_schema}), self.minimum_samples),
            schedule=ScheduleTerms(self.rounds, self.upload_seconds, self.share_seconds),
            cohort=CohortTerms(self.minimum_cohort, 0),
            roles=roles,
            encryption=self.encryption(parameters_digest, len(roles.key_members)),
            verification=VerificationTerms(self.attestations or majority, self.receipts),
            incentive=IncentiveTerms(
                pool=self.pool,
                per_round=self.pool // self.rounds,
                alpha_ppb=self.alpha_ppb,
                consistency_window=self.consistency_window,
                reputation_lambda_ppb=self.reputation_lambda_ppb,
            ),
        )


def require_scheme(word: str) -> None:
    """Raise ConfigurationError unless a task may have this scheme."""
    if word not in SCHEMES:
        raise ConfigurationError(f"no scheme is called {word!r}; there is {', '.join(SCHEMES)}")


def load_terms(path: Path) -> TaskTerms:
    """Read terms from a TOML file whose keys are the fields of TaskTerms.

    Raises ConfigurationError naming the file and the key that is unknown, missing or of the wrong type.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
        return TypeAdapter(TaskTerms).validate_json(json.dumps(values, default=str))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {config.explained(error)}") from error
