"""Fakes that refuse what the real thing refuses, a manual clock, and faults to inject; for tests and simulations.

Nothing here protects anything: `PlainScheme` encrypts nothing and the stores forget with the process.
"""
