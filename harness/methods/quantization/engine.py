"""Torch's quantized engines: the kernels that run packed int8 weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from harness.artifacts.quantized_engine import Engine
from harness.errors import MethodError


@contextmanager
def active(engine: Engine) -> Iterator[None]:
    """Quantize for this engine; afterwards the process has the engine that it had.

    Raises:
        MethodError: this build of torch lacks the engine.
    """
    import torch

    before = torch.backends.quantized.engine
    there = torch.backends.quantized.supported_engines
    if engine not in there:
        raise MethodError(f"this torch has no quantized engine {engine!r}; it has {', '.join(sorted(there))}")
    torch.backends.quantized.engine = engine
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


@contextmanager
def quiet() -> Iterator[None]:
    """Torch deprecates this package in favour of one that cannot save a runnable int8 program."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", ".*quantized tensor creation functions", UserWarning)
        warnings.filterwarnings("ignore", "Please use quant_min and quant_max", UserWarning)
        # Told of the default that the observers chosen here replace.
        warnings.filterwarnings("ignore", "Default qconfig of oneDNN", UserWarning)
        yield
