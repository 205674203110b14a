"""The zoo's architectures, with typed arguments; `sources/shelf.py` knows the checkpoints in `models/` that use them.

The architecture modules import torch, being made of its modules; nothing imports them but a factory's name at work.
"""
