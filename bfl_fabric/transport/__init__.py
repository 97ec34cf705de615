"""Moves updates and blobs between nodes over gRPC with mutual TLS; the only room that knows our protocol."""
