"""The audit: everything that a ledger and its blobs claim, checked again offline; lineage and reports."""
