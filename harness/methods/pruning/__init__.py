"""Pruning: single weights, and whole channels."""
