"""The data sets that come with scikit-learn, so that a demo needs no download.

The Wisconsin diagnostic breast cancer data (569 samples, 30 features, 2 classes) and the 8×8 digits (1,797
samples, 64 features, 10 classes), as raw tables; `schemas` knows how to scale them, `splits` how to divide them.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits

from bfl_fabric.training.schemas import schema
from bfl_fabric.training.tables import Table

_LOADERS = {"breast-cancer": load_breast_cancer, "digits": load_digits}


def load_data(name: str) -> Table:
    """Return a whole data set by the name of its schema. Raises ConfigurationError."""
    known = schema(name)
    features, labels = _LOADERS[known.name](return_X_y=True)
    return Table(known.name, features.astype(np.float64), labels.astype(np.int64))
