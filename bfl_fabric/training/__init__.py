"""Torch models, local training and data sets: the only room of torch and scikit-learn.

`profiles`, `schemas`, `tables`, `splits`, `containers` and `export` load neither; `datasets` loads scikit-learn;
the rest loads torch.
"""
