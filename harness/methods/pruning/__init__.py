"""Pruning: single weights, N of M neighbours, channels, neurons, attention heads and whole blocks."""
