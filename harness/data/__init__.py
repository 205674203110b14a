"""Datasets: each source in a file of its own, streaming batches, with fixed splits."""
