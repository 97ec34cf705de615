"""Exact arithmetic between training and encryption; numpy only, and the same bits on every machine."""
