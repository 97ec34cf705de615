"""The reconcilers: what is due for each actor of a round, the loop that does it, and what a node's server lets in."""
