"""The zoo: architectures with typed arguments, and the shelf of checkpoints in `models/` that are built with them.

The architecture modules import torch, being made of its modules; nothing imports them but a factory's name at work.
"""
