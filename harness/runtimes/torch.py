"""TorchScript on the CPU: the artifact is one traced program, ``model.pt``."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.artifacts.quantized_engine import engine_of
from harness.artifacts.torchscript_archive import import_operators, read, write
from harness.artifacts.torchscript_graph import evidence_of
from harness.artifacts.torchscript_macs import macs_of
from harness.artifacts.torchscript_shuffling import shuffle_torchscript
from harness.errors import ArtifactError
from harness.evidence import Evidence
from harness.forms import Form, Parts, Subject, tensors
from harness.runtimes.base import RUNTIMES, Runner, Runtime

if TYPE_CHECKING:
    import torch

    Tensors = tuple[torch.Tensor, ...]

FILE = "model.pt"


@RUNTIMES.register
class Torch(Runtime):
    """PyTorch's own CPU kernels: a TorchScript program, frozen and optimized for inference when it is loaded.

    The float program is optimized like the compressed one: folded batch normalization and oneDNN's own layouts make a
    ResNet-18 1.6 times faster and a MobileNetV2 1.2 to 1.3 times, which no compression may claim.
    """

    runtime: Literal["torch"] = "torch"
    also: ClassVar[Mapping[str, str]] = {"pytorch": "", "torchscript": ""}
    saves: ClassVar[frozenset[Form]] = frozenset(
        {Form.TORCH, Form.TORCH_INT8, Form.WEIGHT_ONLY, Form.EXPORTED, Form.TORCHSCRIPT}
    )

    def save(self, subject: Subject, folder: Path) -> None:
        """Trace the model and write ``model.pt``; a TorchScript file made elsewhere is copied byte for byte.

        Raises:
            ArtifactError: the model cannot be traced, or tracing froze what depends on the input.
        """
        import torch

        model = subject.model
        if subject.form is Form.TORCHSCRIPT:
            write(model, folder / FILE)
            return
        exported = subject.form is Form.EXPORTED
        model = model.module(check_guards=False) if exported else model
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
            warnings.filterwarnings("ignore", "The TorchScript type system", UserWarning)  # of torch's own modules
            try:
                program = _scripted(subject.model) if exported else traced(model, subject.example)
            except (RuntimeError, TypeError, ValueError) as error:
                reason = str(error).strip().splitlines()[0]
                raise ArtifactError(f"the {subject.form} does not become a TorchScript program: {reason}") from error
            check(program, model, subject.example, subject.parts)
        write(program, folder / FILE, engine_of(model))

    def load(self, folder: Path, threads: int) -> Runner:
        """The runner of ``model.pt``; sets the number of threads and the quantized engine of this process."""
        import torch

        torch.set_num_threads(threads)
        return TorchRunner(folder / FILE)

    def shuffle(self, folder: Path, seed: int) -> str:
        """Permute a layer of ``model.pt``."""
        return shuffle_torchscript(folder / FILE, seed)

    def warm(self, folder: Path) -> None:
        """Import the library that adds operators to torch's, where the program calls one."""
        super().warm(folder)
        # What cannot be read is told when it is loaded.
        with suppress(OSError, zipfile.BadZipFile):
            import_operators(folder / FILE)

    def kernels(self) -> str:
        """``torch`` and the instruction set that its kernels are dispatched to."""
        import torch

        capability = torch.backends.cpu.get_cpu_capability()
        return f"torch {capability}{' VNNI' if torch.cpu._is_vnni_supported() else ''}"


class TorchRunner(Runner):
    """A program read from disk. What it stores is counted as it lies in the file, before optimization."""

    def __init__(self, path: Path, reader: Callable[[Path], torch.jit.ScriptModule] = read) -> None:
        self._path, self._read = path, reader
        self._program = _optimized(reader(path))

    def __call__(self, inputs: Tensors) -> Tensors:
        """Outputs of one batch."""
        import torch

        with torch.inference_mode():
            return tuple(output.float() for output in tensors(self._program(*inputs)))

    def prepared(self, inputs: Tensors) -> Callable[[], object]:
        """The program itself on this batch."""
        import torch

        program = self._program

        def run() -> object:
            with torch.inference_mode():
                return program(*inputs)

        return run

    def evidence(self) -> Evidence:
        """Counts over the file, read once more."""
        return evidence_of(self._read(self._path))

    def macs(self, inputs: Tensors) -> int:
        """Multiply-accumulates of the program in the file, before optimization."""
        return macs_of(self._read(self._path), inputs)


def _optimized(program: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """The program as it is run.

    Folding batch normalization into convolutions rounds weights once more: in float32 and int8 that is nothing, in
    bfloat16 it moves the outputs of a ResNet-20 by 0.8 % of their range and makes it no faster. Short types are spared.
    """
    import torch

    short = any(one.dtype in (torch.float16, torch.bfloat16) for one in program.parameters())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        optimized: torch.jit.ScriptModule = (
            torch.jit.freeze(program, optimize_numerics=False) if short else torch.jit.optimize_for_inference(program)
        )
    return optimized


def traced(model: torch.nn.Module, example: Tensors) -> torch.jit.ScriptModule:
    """The program that one run of the model on the example makes."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        warnings.filterwarnings("ignore", "The TorchScript type system", UserWarning)  # of torch's own modules
        # Whatever the tracer warns of, `check` finds out by running the program.
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        program: torch.jit.ScriptModule = torch.jit.trace(  # type: ignore[no-untyped-call]
            model, example, check_trace=False
        )
    return program


def _scripted(exported: torch.export.ExportedProgram) -> torch.jit.ScriptModule:
    """An exported graph as a program: symbolic sizes cannot be traced, and the operators are scriptable."""
    import torch
    from torch.fx.graph import CodeGen

    graph = exported.module(check_guards=False).graph
    for node in graph.nodes:
        if isinstance(node.target, torch._ops.OpOverload):
            symbolic = node.target is torch.ops.aten.sym_size.int
            node.target = torch.ops.aten.size if symbolic else node.target.overloadpacket
    graph.set_codegen(CodeGen())
    program: torch.jit.ScriptModule = torch.jit.script(torch.fx.GraphModule(exported.module(check_guards=False), graph))
    return program


def check(program: torch.jit.ScriptModule, model: torch.nn.Module, example: Tensors, parts: Parts = tuple) -> None:
    """Hold a program to the model's answers, also on another batch size and other values.

    Args:
        program: what was made of the model.
        model: the model.
        example: one batch of inputs.
        parts: takes outputs apart; each part is held to its own range.
    """
    import torch

    other = tuple(torch.cat([part, part.flip(-1)]) for part in example)
    for batch in (example, other):
        try:
            expected = tensors(model(*batch))
        except RuntimeError as error:
            if batch is example:
                raise ArtifactError(f"the model does not run: {error}") from error
            continue  # the model itself is bound to one batch size
        _compare(expected, program, batch, parts)


def _compare(expected: Tensors, program: torch.jit.ScriptModule, batch: Tensors, parts: Parts) -> None:
    import torch

    size = len(batch[0])
    try:
        found = tensors(program(*batch))
    except RuntimeError as error:
        raise ArtifactError(f"the TorchScript program does not run on a batch of {size}: {error}") from error
    for one, answer in zip(parts(expected), parts(found), strict=True):
        scale = float(one.float().abs().max()) if one.numel() else 0.0
        if not torch.allclose(one.float(), answer.float(), rtol=1e-3, atol=1e-4 * scale, equal_nan=True):
            raise ArtifactError(
                f"the TorchScript program answers otherwise than the model on a batch of {size}: its flow depends on "
                "the values or sizes of its input, which tracing freezes"
            )
