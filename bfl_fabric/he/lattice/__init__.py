"""Arithmetic of our own lattice schemes, in numpy: rings, samplers, expansion of seeds, bits on the wire.

Everything here is proven against SEAL in tests; nothing here knows a scheme, a key's owner or the ledger.
"""
