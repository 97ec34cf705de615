"""Homomorphic encryption of updates: the only room of TenSEAL, entered through `provider`.

Importing this package, or its provider, loads neither TenSEAL nor anything else that handles secrets: that happens
in worker processes (`isolation`, `worker`).
"""
