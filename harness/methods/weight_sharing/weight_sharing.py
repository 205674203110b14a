"""Weight sharing by clustering."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from harness.errors import MethodError
from harness.evidence import MOST_DISTINCT, Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.methods.batch_norm import reestimate
from harness.methods.layers import Names, below, chosen, in_float32, multiplied, transposed, weighted
from harness.methods.weight_sharing.clustering import Initialisation
from harness.methods.weight_sharing.codebook import Clustering, Shared
from harness.training import Training, train

if TYPE_CHECKING:
    import torch
    from torch import nn


@METHODS.register
class WeightSharing(Method):
    """Let the weights of a layer take few values: those of a codebook, found by k-means.

    S. Han, H. Mao, W. Dally, "Deep Compression", 2016, section 3. Weights that are zero stay zero and take no place in
    a codebook. The file shrinks where the `packed` runtime encodes it; in others the values are stored as before.
    """

    method: Literal["weight-sharing"] = "weight-sharing"
    also: ClassVar[Mapping[str, str]] = {
        "kmeans": "", "k-means": "", "clustering": "", "weight-clustering": "", "codebook": "",
        "deep-compression": "",
    }  # fmt: skip
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    bits: int = Field(ge=1, le=8, description="a codebook has up to 2 to this power values, and zero")
    convolution_bits: int | None = Field(default=None, ge=1, le=8, description="for convolutions, where it differs")
    initialisation: Initialisation = Field(
        default="linear",
        description="first centroids: evenly spaced, evenly many weights between them, or weights drawn at random",
    )
    group: int | None = Field(
        default=None,
        ge=1,
        description="output channels that share a codebook; unset: all of a layer, and always of a transposed "
        "convolution",
    )
    price: float = Field(
        default=0,
        ge=0,
        description="squared error that a bit may cost, as a share of the layer's mean square: above 0 weights go to "
        "common values, and to zero, where an entropy coder needs fewer bits for them",
    )
    vector_bits: int | None = Field(
        default=None, ge=1, le=8, description="share the values of biases and other vectors too, at so many bits"
    )
    precision: Literal["float32", "float16"] = Field(
        default="float32", description="what codebooks, biases and other vectors are rounded to"
    )
    keep: Names = Field(default=(), description="layers, or modules with all their layers, to leave alone")
    finetune: Training | None = Field(
        default=None, description="train the codebooks, by summed gradients, and the vectors"
    )

    @property
    def leaves(self) -> frozenset[Trait]:
        """Weights that share their values."""
        return frozenset({Trait.WORK, Trait.CODEBOOKS})

    @property
    def undoes(self) -> frozenset[Trait]:
        """Codebooks of before are trained as plain weights, or clustered again."""
        return frozenset({Trait.CODEBOOKS})

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Cluster, train the codebooks if asked to, and round them."""
        model: nn.Module = subject.model
        in_float32(model, self.method)
        layers = weighted(model)
        kept = chosen("keep", self.keep, layers)
        shared = self._shared(model, {name: place for name, place in layers.items() if name not in kept}, workshop)
        if self.finetune is not None:
            self._finetune(model, self.finetune, shared, workshop)
        self._finish(model, shared, workshop.seed)
        return replace(subject, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """A weight matrix with more values than its codebooks can hold, or of which that cannot be told."""
        sentences = []
        for one in multiplied(after.tensors):
            if below(one.name, self.keep):
                continue
            books = math.ceil(one.shape[0] / self.group) if self.group else 1
            bits = self._bits(len(one.shape) > 2)
            allowed = books * 2**bits
            codebooks = f"{books} codebooks of {bits} bits hold" if books > 1 else f"{bits} bits name"
            if one.distinct is None:
                sentences.append(
                    f"how many values {one.name} has cannot be told: more than {MOST_DISTINCT:,}, or this runtime does "
                    f"not count them, as `packed` and `torch` do; {codebooks} at most {allowed:,}"
                )
            elif one.distinct > allowed:
                sentences.append(
                    f"{one.name} has {one.distinct:,} values other than zero, and {codebooks} at most {allowed:,}"
                )
        return sentences

    def _bits(self, convolution: bool) -> int:
        return self.convolution_bits if convolution and self.convolution_bits is not None else self.bits

    def _shared(
        self, model: nn.Module, layers: Mapping[str, tuple[nn.Module, str]], workshop: Workshop
    ) -> list[tuple[torch.Tensor, Shared]]:
        """Cluster every layer's weights, and the vectors that are trained."""
        if not layers:
            raise MethodError("weight-sharing: no linear or convolution layer is left to share weights in")
        # One tensor may serve two layers.
        weights = {
            id(weight): (name, layer, weight)
            for name, (layer, key) in layers.items()
            for weight in [getattr(layer, key)]
        }
        shared = []
        for name, layer, weight in weights.values():
            workshop.progress(f"clustering {name}")
            bits = self._bits(weight.ndim > 2)
            clustering = Clustering(bits, self.initialisation, self.price, workshop.seed)
            # Its rows are inputs, and an artifact does not tell it from other convolutions.
            group = None if transposed(layer) else self.group
            shared.append((weight, Shared(weight, clustering, group, zeros_apart=True)))
        if self.vector_bits is not None:
            shared += [
                (vector, self._vector(vector, self.vector_bits, workshop.seed))
                for vector in model.parameters()
                if vector.ndim == 1
            ]
        return shared

    def _vector(self, vector: torch.Tensor, bits: int, seed: int) -> Shared:
        return Shared(vector, Clustering(bits, self.initialisation, 0, seed), None, zeros_apart=False)

    def _finetune(
        self, model: nn.Module, training: Training, shared: list[tuple[torch.Tensor, Shared]], workshop: Workshop
    ) -> None:
        split = workshop.training("`finetune:` trains")

        def tie(_: nn.Module) -> None:
            for tensor, one in shared:
                one.tie(tensor)

        with _summing(model, shared):
            train(
                model, split, workshop.task, training,
                seed=workshop.seed, progress=workshop.progress, after_step=tie,
            )  # fmt: skip
        workshop.progress("averaging the statistics of batch normalization")
        reestimate(model, split, batch=training.batch_for(workshop.task), seed=workshop.seed)

    def _finish(self, model: nn.Module, shared: list[tuple[torch.Tensor, Shared]], seed: int) -> None:
        """Round codebooks and vectors; the running statistics of normalization are vectors that nothing trains."""
        import torch

        half = self.precision == "float16"
        tied = {id(tensor) for tensor, _ in shared}
        for tensor, one in shared:
            one.tie(tensor, half=half)
        for buffer in model.buffers():
            if self.vector_bits is not None and buffer.ndim == 1 and buffer.is_floating_point():
                self._vector(buffer, self.vector_bits, seed).tie(buffer, half=half)
                tied.add(id(buffer))
        with torch.no_grad():
            for vector in [*model.parameters(), *model.buffers()]:
                if half and vector.ndim == 1 and vector.is_floating_point() and id(vector) not in tied:
                    vector.copy_(vector.half())
        if not all(bool(one.isfinite().all()) for one in model.state_dict().values()):
            raise MethodError("weight-sharing: a value is too large for float16: set `precision: float32`")


@contextmanager
def _summing(model: nn.Module, shared: list[tuple[torch.Tensor, Shared]]) -> Iterator[None]:
    """While it lasts, gradients are summed over what shares a value; a model that asks for none asks for all.

    Matrices without a codebook are left alone.
    """
    asked = [parameter.requires_grad for parameter in model.parameters()]
    tied = {id(tensor) for tensor, _ in shared}
    for parameter in model.parameters():
        wanted = parameter.is_floating_point() and (parameter.requires_grad or not any(asked))
        parameter.requires_grad_(wanted and (parameter.ndim < 2 or id(parameter) in tied))
    trained: list[tuple[Any, Shared]] = [(tensor, one) for tensor, one in shared if tensor.requires_grad]
    hooks = [tensor.register_hook(one.summed) for tensor, one in trained]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, before in zip(model.parameters(), asked, strict=True):
            parameter.requires_grad_(before)
