"""Operating a running Fabric network: one module for each operation.

Every operation is a pure change, then the ledger's transactions, then local files, then processes, and can be begun
again after a crash at any step: what is done is seen and not done twice. All of them are for native networks whose
organizations' keys are all in one directory; where they are not, the same steps are each organization's own.
"""
