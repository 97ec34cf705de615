"""What a client of the contract needs to know: records, canonical JSON, coded errors, event names.

bfl_fabric imports this package and, but for the embedded ledger that hosts the contract, nothing else of it.
"""
