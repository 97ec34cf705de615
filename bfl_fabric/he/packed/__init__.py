"""The scheme `packed`: one secret key that all silos share; who adds uploads does not have it.

Small and fast, because a seed travels instead of a mask. It protects uploads from whoever has no key of the group, and
from nobody else: every silo could open every upload that it can get hold of (SECURITY.md).
"""
