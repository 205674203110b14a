"""Distillation: a smaller model learns from what a larger one answers, and from what it computes on the way."""
