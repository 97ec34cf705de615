"""What the columns of a data set mean, and the public transform that every silo applies by itself.

A federation cannot pool its data to compute means and deviations, and a statistic of one silo is a secret of that
silo. So features are scaled by published constants: the range that the data set's documentation states for each
feature. `document` is the text whose digest a task's spec carries, so all silos transform alike or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bfl_chaincode.api import canonical
from bfl_chaincode.api.canonical import Json
from bfl_fabric.errors import ConfigurationError, MalformedInput


@dataclass(frozen=True, slots=True)
class Feature:
    """A column and its published range, as decimals."""

    name: str
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class DataSchema:
    """Features, classes by label, and the transform x → stretch·(x − low)/(high − low) − shift."""

    name: str
    features: tuple[Feature, ...]
    classes: tuple[str, ...]
    stretch: str
    shift: str

    @property
    def document(self) -> str:
        """Return the canonical JSON text that names everything above."""
        features: list[Json] = [[feature.name, feature.low, feature.high] for feature in self.features]
        return canonical.text(
            {
                "name": self.name,
                "features": features,
                "classes": list(self.classes),
                "transform": {"stretch": self.stretch, "shift": self.shift},
            }
        )

    def transform(self, features: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return model inputs float32[samples, features]. Raises MalformedInput on a wrong width."""
        if features.ndim != 2 or features.shape[1] != len(self.features):
            raise MalformedInput(
                f"{self.name} has {len(self.features)} features, found shape {features.shape}"
            )
        low = np.array([float(feature.low) for feature in self.features])
        high = np.array([float(feature.high) for feature in self.features])
        unit = (features - low) / (high - low)
        scaled: NDArray[np.float32] = (float(self.stretch) * unit - float(self.shift)).astype(np.float32)
        return scaled

    def require_labels(self, labels: NDArray[np.int64]) -> None:
        if int(labels.max()) >= len(self.classes):
            raise MalformedInput(
                f"{self.name} has {len(self.classes)} classes, found the label {int(labels.max())}"
            )


_CELL_RANGES = {
    "mean": "6.981 28.11 9.71 39.28 43.79 188.5 143.5 2501.0 0.053 0.163 0.019 0.345 0.0 0.427 0.0 0.201 "
    "0.106 0.304 0.05 0.097",
    "standard error": "0.112 2.873 0.36 4.885 0.757 21.98 6.802 542.2 0.002 0.031 0.002 0.135 0.0 0.396 0.0 0.053 "
    "0.008 0.079 0.001 0.03",
    "worst": "7.93 36.04 12.02 49.54 50.41 251.2 185.2 4254.0 0.071 0.223 0.027 1.058 0.0 1.252 0.0 0.291 "
    "0.156 0.664 0.055 0.208",
}
_CELL_TRAITS = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)


def _cell_features() -> tuple[Feature, ...]:
    features = []
    for statistic, text in _CELL_RANGES.items():
        bounds = text.split()
        for trait, low, high in zip(_CELL_TRAITS, bounds[::2], bounds[1::2], strict=True):
            features.append(Feature(f"{trait} ({statistic})", low, high))
    return tuple(features)


SCHEMAS: Mapping[str, DataSchema] = MappingProxyType(
    {
        "breast-cancer": DataSchema(
            name="breast-cancer",
            features=_cell_features(),
            classes=("malignant", "benign"),
            stretch="10",
            shift="3",
        ),
        "digits": DataSchema(
            name="digits",
            features=tuple(
                Feature(f"pixel {row}.{column}", "0", "16") for row in range(8) for column in range(8)
            ),
            classes=tuple(str(digit) for digit in range(10)),
            stretch="2",
            shift="0.6",
        ),
    }
)


def schema(name: str) -> DataSchema:
    """Return the schema of this name. Raises ConfigurationError."""
    if name not in SCHEMAS:
        raise ConfigurationError(f"unknown data {name!r}; known are {', '.join(sorted(SCHEMAS))}")
    return SCHEMAS[name]
