"""The packed format on the CPU: one documented file, decoded when it is loaded, run by PyTorch's own kernels."""

from __future__ import annotations

import importlib
import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from harness.artifacts import packed_file
from harness.artifacts.encoded import Encoded
from harness.artifacts.packed_bytes import tensor_of, words_of
from harness.artifacts.packed_graph import Graph, checked, graph_of, module_of
from harness.artifacts.packed_shuffling import shuffle_packed
from harness.errors import ArtifactError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.runtimes.base import RUNTIMES, Runner, Runtime
from harness.runtimes.torch import TorchRunner, check, traced

if TYPE_CHECKING:
    import torch

FILE = "model.packed"


@RUNTIMES.register
class Packed(Runtime):
    """One file with everything that is needed to run: graph, tensors, checksums; see docs/packed-format.md.

    The float model's tensors are written as they are, and so are a compressed model's that no `entropy-coding` step
    asks to encode. A loaded file runs as under `runtime: torch`: decoding is over before the first answer.
    """

    runtime: Literal["packed"] = "packed"
    saves: ClassVar[frozenset[Form]] = frozenset({Form.TORCH, Form.ENCODED, Form.PACKED})

    def save(self, subject: Subject, folder: Path) -> None:
        """Trace the model and write ``model.packed``; the file is decoded again and compared bit for bit.

        A packed file made elsewhere is copied byte for byte.

        Raises:
            ArtifactError: the model cannot be traced, uses an operator that the format does not know, or what was
                decoded is not what was encoded.
        """
        import torch

        model, coding = subject.model, None
        if subject.form is Form.PACKED:
            shutil.copyfile(model.weighin_origin, folder / FILE)
            return
        if isinstance(model, Encoded):
            model, coding = model.module, model.coder
        with torch.no_grad():
            trace = traced(model, subject.example)
            check(trace, model, subject.example, subject.parts)
            graph, tensors = graph_of(trace, subject.example)
            stored = {name: words_of(tensor) for name, tensor in tensors.items()}
            content = packed_file.pack(graph.model_dump(mode="json"), stored, coding)
            _, decoded = packed_file.unpack(content)
            for name, tensor in stored.items():
                if not np.array_equal(decoded[name].words, tensor.words):
                    raise ArtifactError(f"decoding {name} does not give what was encoded")
            (folder / FILE).write_bytes(content)
            check(program(folder / FILE), model, subject.example, subject.parts)

    def load(self, folder: Path, threads: int) -> Runner:
        """The runner of ``model.packed``; sets the number of threads of this process."""
        import torch

        torch.set_num_threads(threads)
        return PackedRunner(folder / FILE, program)

    def shuffle(self, folder: Path, seed: int) -> str:
        """Permute a layer of ``model.packed``, which is encoded anew."""
        return shuffle_packed(folder / FILE, seed)

    def warm(self, folder: Path) -> None:
        """Import the coders."""
        super().warm(folder)
        for coder in ("bitarray.util", "constriction"):
            # A file that needs one which is not installed says so when it is loaded.
            with suppress(ImportError):
                importlib.import_module(coder)

    def kernels(self) -> str:
        """As under `runtime: torch`, whose kernels run it."""
        from harness.runtimes.torch import Torch

        return Torch().kernels()


class PackedRunner(TorchRunner):
    """The program of a packed file, which can tell how that keeps its tensors."""

    def evidence(self) -> Evidence:
        """Counts over the file, decoded once more."""
        kept = packed_file.encodings(self._path.read_bytes())
        return super().evidence().model_copy(update={"encodings": kept})


def program(path: Path) -> torch.jit.ScriptModule:
    """The program of a file, decoded and traced; remembers where it comes from.

    Raises:
        ArtifactError: no packed file lies there, it is damaged, or its graph does not run.
    """
    if not path.is_file():
        raise ArtifactError(f"no packed file at {path}")
    document, stored = packed_file.unpack(path.read_bytes())
    # What torch raises on a graph that makes no sense has no common name.
    try:
        graph = checked(document, list(stored))
        found = _program(graph, {name: tensor_of(tensor) for name, tensor in stored.items()})
    except ArtifactError:
        raise
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise ArtifactError(f"the graph of the packed file does not run: {first}") from error
    found.weighin_origin = path
    return found.eval()


def _program(graph: Graph, stored: Mapping[str, torch.Tensor]) -> torch.jit.ScriptModule:
    import torch

    module = module_of(graph, stored)
    example = tuple(torch.zeros(shape, dtype=getattr(torch, dtype)) for shape, dtype in graph.inputs)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        # Written and read once more, the program holds plain tensors and nothing of the trace.
        buffer = BytesIO()
        torch.jit.save(traced(module, example), buffer)
        buffer.seek(0)
        found: torch.jit.ScriptModule = torch.jit.load(buffer)  # type: ignore[no-untyped-call]
    return found
