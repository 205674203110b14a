"""A language model of transformers as an OpenVINO graph that keeps its keys and values itself, by optimum-intel."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.artifacts.openvino import import_openvino
from harness.errors import SourceError
from harness.extras import installed

# Families whose export optimum-intel holds back on a transformers that it was not tried with. Here it is: the tests
# hold the exported graph to the model, token by token, and so does the gate on every artifact.
_TRIED = ("Gemma3TextOpenVINOConfig",)


def decoder(model: Any) -> Any:
    """The graph, in float32, with the inputs and outputs that optimum-intel and OpenVINO GenAI know.

    Args:
        model: a causal language model of transformers; it is left as it was.

    Raises:
        SourceError: optimum-intel is not installed.
    """
    openvino = import_openvino()
    if importlib.util.find_spec("optimum") is None:
        # No extra brings it: its own metadata asks for an older huggingface-hub than transformers does.
        raise SourceError(
            "language models reach OpenVINO through optimum-intel, which is not installed: "
            "pip install --no-deps optimum optimum-intel"
        )
    from optimum.exporters.openvino import export_from_model

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), _released(), _quiet():
        warnings.simplefilter("ignore")
        export_from_model(
            model, Path(folder), task="text-generation-with-past", stateful=True, preprocessors=None, device="cpu"
        )
        core = openvino.Core()
        # The constants must outlive the file.
        core.set_property({"ENABLE_MMAP": False})
        return core.read_model(Path(folder) / "openvino_model.xml")


@contextlib.contextmanager
def _released() -> Iterator[None]:
    from optimum.exporters.openvino import model_configs

    held = {name: getattr(model_configs, name).__dict__.get("MAX_TRANSFORMERS_VERSION") for name in _TRIED}
    try:
        for name in _TRIED:
            getattr(model_configs, name).MAX_TRANSFORMERS_VERSION = installed("transformers")
        yield
    finally:
        for name, limit in held.items():
            if limit is None:
                del getattr(model_configs, name).MAX_TRANSFORMERS_VERSION
            else:
                getattr(model_configs, name).MAX_TRANSFORMERS_VERSION = limit


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter logs what it skips and prints its progress; neither belongs in a report."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)
