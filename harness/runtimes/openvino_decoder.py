"""Running a language model on OpenVINO: a graph that keeps the keys and values of what it has read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.artifacts.openvino import decoder_inputs, import_openvino, layers, require_formulas, widened
from harness.errors import Unmeasurable
from harness.runtimes.base import DECODED, sampled
from harness.runtimes.openvino import MULTIPLYING, OpenVinoRunner

if TYPE_CHECKING:
    import torch

    Tensors = tuple[torch.Tensor, ...]


class DecoderRunner(OpenVinoRunner):
    """A decoder read from disk. Keys and values are kept in float32, not in the 8 bits that the plugin would take."""

    def __init__(self, core: Any, model: Any, threads: int) -> None:
        super().__init__(core, model, threads)
        self._options["KV_CACHE_PRECISION"] = "f32"
        self._reader: Any = None

    def __call__(self, inputs: Tensors) -> Tensors:
        """Logits of every position, each window read from its beginning."""
        import torch

        self._reader = self._reader or self._compile(None).create_infer_request()
        self._reader.reset_state()
        found = self._reader.infer(decoder_inputs(self._model, inputs[0].numpy()), share_outputs=True)
        return (torch.from_numpy(next(iter(found.values())).copy()).float(),)

    def prepared(self, inputs: Tensors) -> Callable[[], object]:
        """The graph on this batch, from an empty cache."""
        return self.prefilling(inputs[0])

    def prefilling(self, tokens: torch.Tensor) -> Callable[[], object]:
        """The prompt into an empty cache; the graph gives the logits of all its positions."""
        request, fed = self._compile(None).create_infer_request(), decoder_inputs(self._model, tokens.numpy())

        def infer() -> object:
            request.reset_state()
            return request.infer(fed, share_inputs=True, share_outputs=True)

        return infer

    def decoding(self, tokens: torch.Tensor) -> Callable[[], object]:
        """One greedy step."""
        openvino = import_openvino()
        request, prompt = self._compile(None).create_infer_request(), tokens.shape[1]
        begun = request.infer(decoder_inputs(self._model, tokens.numpy()))
        first = _best(begun)
        kept = [state.state.data.copy() for state in request.query_state()]
        state: dict[str, Any] = {"next": first, "made": 0}

        def infer() -> object:
            if state["made"] == DECODED:
                for one, data in zip(request.query_state(), kept, strict=True):
                    one.state = openvino.Tensor(data)
                state["next"], state["made"] = first, 0
            fed = decoder_inputs(self._model, state["next"], prompt + state["made"])
            found = request.infer(fed, share_inputs=True, share_outputs=True)
            state["next"] = _best(found)
            state["made"] += 1
            return found

        return infer

    def matrices(self) -> Iterator[tuple[str, np.ndarray[Any, Any], bool]]:
        """Rows of every layer's weights, widened as the graph widens them; shared ones once."""
        seen: set[str] = set()
        for node, weight in layers(self._model):
            constant = weight.constant.get_name()
            if constant in seen or node.get_type_name() not in ("MatMul", "Gather") or len(weight.shape) < 2:
                continue
            seen.add(constant)
            rows = sampled(weight.shape[0])
            for port in range(node.get_input_size()):
                found = widened(node.input_value(port), weight.shape[0], rows)
                if found is not None:
                    flat = found.reshape(len(found), -1).astype(np.float32)
                    yield node.get_friendly_name(), flat, "int" in weight.dtype
                    break

    def macs(self, inputs: Tensors) -> int:
        """Multiply-accumulates of matrix products and attention on this batch, the latter without its mask."""
        require_formulas(self._model, MULTIPLYING)
        batch, length = inputs[0].shape
        total = 0
        for node, weight in layers(self._model):
            kind = node.get_type_name()
            if kind not in ("MatMul", "Gather"):
                raise Unmeasurable(
                    f"the multiply-accumulates of {kind} ({node.get_friendly_name()}) have no formula in a graph that "
                    "keeps what it has read: leave `macs_g` and `flops_g` out"
                )
            if kind == "MatMul":
                total += batch * length * int(np.prod(weight.shape, dtype=np.int64))
        for node in self._model.get_ops():
            if node.get_type_name() == "ScaledDotProductAttention":
                shape = node.get_input_partial_shape(0)
                heads, features = (int(shape[axis].get_length()) for axis in (1, 3))
                total += 2 * batch * heads * length * length * features
        return total


def _best(found: Any) -> np.ndarray[Any, Any]:
    """The most probable token after the last position, shape (batch, 1)."""
    best: np.ndarray[Any, Any] = next(iter(found.values()))[:, -1].argmax(axis=-1, keepdims=True)
    return best
