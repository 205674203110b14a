"""Quantization: fewer bits for weights, and for what they multiply."""
