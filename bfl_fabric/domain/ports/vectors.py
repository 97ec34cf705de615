"""The vectors that ports speak of: numpy arrays of one dimension. For type checkers only."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Int64Vector: TypeAlias = NDArray[np.int64]
Int8Vector: TypeAlias = NDArray[np.int8]
Float32Vector: TypeAlias = NDArray[np.float32]
