"""OpenFHE's threshold CKKS: a key that three parties made together, opened by all three.

Decides the smallest ring that takes it (N = 8192, no multiplications, 128 bit) and that the three parties' shares are
made on three machines at once: opening is one party's share, from the sum to bytes, and the fusion of all three from
bytes.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from typing import Any

import numpy as np
import openfhe

from tests.benchmarks.he.foreign.serve import Float32Vector, Float64Vector, serve

RING, PARTIES = 8192, 3
FIRST_BITS, SCALE_BITS = 60, 50


class OpenfheThreshold:
    """The context, the joint public key and the three secret shares; the server's part uses none of the shares."""

    def __init__(self) -> None:
        parameters = openfhe.CCParamsCKKSRNS()
        parameters.SetRingDim(RING)
        parameters.SetMultiplicativeDepth(0)
        parameters.SetFirstModSize(FIRST_BITS)
        parameters.SetScalingModSize(SCALE_BITS)
        parameters.SetSecurityLevel(openfhe.SecurityLevel.HEStd_128_classic)
        self._context = openfhe.GenCryptoContext(parameters)
        for feature in (openfhe.PKE, openfhe.LEVELEDSHE, openfhe.MULTIPARTY):
            self._context.Enable(feature)
        pairs = [self._context.KeyGen()]
        for _ in range(PARTIES - 1):
            pairs.append(self._context.MultipartyKeyGen(pairs[-1].publicKey))
        self._secrets = [pair.secretKey for pair in pairs]
        self._joint = pairs[-1].publicKey
        self._values: list[Float32Vector] = []
        self._uploads: list[list[bytes]] = []
        self._sum: list[Any] = []
        self._others: list[list[bytes]] = []
        self.note = ""

    def prepare(self, values: list[Float32Vector]) -> None:
        self._values = values
        self._uploads = [self._encrypted(vector) for vector in values]
        self.server()
        self._others = [self._share(party) for party in range(1, PARTIES)]
        share = sum(map(len, self._others[0]))
        self.note = (
            f"{PARTIES} of {PARTIES} parties; each sends a share of {share / values[0].size:.1f} B/param; opening is "
            "one share and the fusion; most of the server's time is OpenFHE's parsing"
        )

    def client(self) -> int:
        return sum(map(len, self._encrypted(self._values[0])))

    def server(self) -> None:
        total = [_ciphertext(data) for data in self._uploads[0]]
        for upload in self._uploads[1:]:
            for place, data in enumerate(upload):
                self._context.EvalAddInPlace(total[place], _ciphertext(data))
        self._sum = total

    def open(self) -> Float64Vector:
        shares = [self._share(0), *self._others]
        pieces = []
        for partial in zip(*shares, strict=True):
            plaintext = self._context.MultipartyDecryptFusion([_ciphertext(data) for data in partial])
            pieces.append(np.array(plaintext.GetRealPackedValue(), dtype=np.float64)[: RING // 2])
        return np.concatenate(pieces)[: self._values[0].size]

    def is_exact(self) -> None:
        return None

    def _encrypted(self, values: Float32Vector) -> list[bytes]:
        upload = []
        for start in range(0, values.size, RING // 2):
            packed = self._context.MakeCKKSPackedPlaintext(values[start : start + RING // 2].tolist())
            upload.append(openfhe.Serialize(self._context.Encrypt(self._joint, packed), openfhe.BINARY))
        return upload

    def _share(self, party: int) -> list[bytes]:
        decrypt = self._context.MultipartyDecryptMain if party else self._context.MultipartyDecryptLead
        return [openfhe.Serialize(part, openfhe.BINARY) for part in decrypt(self._sum, self._secrets[party])]


def _ciphertext(data: bytes) -> Any:
    return openfhe.DeserializeCiphertextString(data, openfhe.BINARY)


if __name__ == "__main__":
    serve(OpenfheThreshold())
