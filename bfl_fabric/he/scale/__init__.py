"""How aggregation behaves with thousands of participants: simulated on one machine, measured, and checked.

Nothing here runs in a node. `uploads` makes the uploads, `aggregator` is the process that is measured, `simulation`
puts them together, `parallel` compares processors and shards, `proof` checks a small run that is real throughout.
"""
