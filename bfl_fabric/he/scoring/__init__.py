"""Scores of the lattice schemes: what may be asked of one encrypted update, and how the answers are put together.

`directions` decides the questions about an alignment, `norms` those about a norm. `scalars` does the public
arithmetic, `shares` is a key member's answer (scheme `threshold`), `messages` the score of the scheme `packed`. Who may
ask, and when, is the ledger's question.
"""
