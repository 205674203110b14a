"""Hugging Face's transformers as the runtime of language models: a folder as save_pretrained writes it."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness.artifacts import decoder_counts
from harness.artifacts.quantized_layers import (
    FILE,
    Layer,
    described,
    dump,
    parse,
    rebuild,
)
from harness.artifacts.safetensors_file import shuffle_tensor
from harness.artifacts.shuffling import inner
from harness.errors import ArtifactError
from harness.evidence import Evidence, Role
from harness.forms import Form, Subject
from harness.runtimes.base import DECODED, RUNTIMES, Runner, Runtime, sampled
from harness.sources.base import fit_weights
from harness.sources.heads import inner_language_model

if TYPE_CHECKING:
    import torch

    Tensors = tuple[torch.Tensor, ...]

WEIGHTS = "model.safetensors"


@RUNTIMES.register
class TransformersRuntime(Runtime):
    """PyTorch, layer by layer, as transformers runs a language model: what a user of `from_pretrained` has.

    The artifact is the configuration and the weights in safetensors, and where layers are not as the architecture has
    them, `layers.json`, which says what they are (`harness/artifacts/quantized_layers.py`): a method leaves such layers
    in the model, each with its `description`, and this runtime saves and loads them. The tokenizer, which no
    compression touches, is not in it.
    """

    runtime: Literal["transformers"] = "transformers"
    saves: ClassVar[frozenset[Form]] = frozenset({Form.TORCH, Form.WEIGHT_ONLY})

    def save(self, subject: Subject, folder: Path) -> None:
        """Write ``config.json``, ``generation_config.json``, the weights, and ``layers.json`` where it is needed.

        Raises:
            ArtifactError: the model is no language model, or has layers that its configuration does not make and that
                have no description: reloaded, they would be as the configuration makes them, with weights at random.
        """
        from safetensors.torch import save_file

        model = inner_language_model(subject.model)
        if model is None:
            raise ArtifactError(
                "the runtime transformers runs language models, and this is none: `head: language-model` makes one "
                "of a model of `source: transformers`"
            )
        layers = described(model)
        _require_expressible(model, layers)
        if not layers:
            model.save_pretrained(folder)
            return
        model.config.save_pretrained(folder)
        model.generation_config.save_pretrained(folder)
        save_file(_single(model.state_dict()), folder / WEIGHTS, metadata={"format": "pt"})
        (folder / FILE).write_text(dump(layers))

    def load(self, folder: Path, threads: int) -> Runner:
        """The runner of a folder; sets the number of threads of this process."""
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        auto: Any = AutoModelForCausalLM
        try:
            if (folder / FILE).is_file():
                return TransformersRunner(_rebuilt(folder))
            model, told = auto.from_pretrained(folder, local_files_only=True, dtype="auto", output_loading_info=True)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            first = str(error).strip().splitlines()[0]
            raise ArtifactError(f"{folder} holds no language model that transformers can load: {first}") from error
        if missing := sorted(told["missing_keys"]):
            raise ArtifactError(
                f"{folder} lacks {len(missing)} of the tensors that its configuration asks for ({missing[0]}"
                f"{', …' if len(missing) > 1 else ''}), and transformers would fill them at random"
            )
        return TransformersRunner(model.eval())

    def shuffle(self, folder: Path, seed: int) -> str:
        """Permute a layer in its safetensors file; of codes that are kept in several pieces, one piece."""
        name = inner(
            [
                (fact.elements, fact.name.removeprefix(decoder_counts.PREFIX))
                for fact in self.load(folder, 1).evidence().tensors
                # Tables of embeddings are looked up, and their codes indexed.
                if fact.matrix and not (fact.plays(Role.LOOKED_UP) or fact.plays(Role.INDEXED))
            ]
        )
        shuffle_tensor(folder, name, seed)
        return name

    def warm(self, folder: Path) -> None:
        """Import what the folder's configuration and layers are made of, by making them without their weights."""
        from transformers import AutoConfig

        super().warm(folder)
        importlib.import_module("safetensors.torch")
        path = folder / FILE
        # What cannot be read is told when it is loaded.
        with suppress(OSError, ValueError, KeyError, RuntimeError, ArtifactError):
            layers = parse(path.read_text()) if path.is_file() else {}
            _architecture(AutoConfig.from_pretrained(folder, local_files_only=True), layers)

    def kernels(self) -> str:
        """``torch`` and the instruction set that its kernels are dispatched to."""
        from harness.runtimes.torch import Torch

        return Torch().kernels()


def _architecture(config: Any, layers: Mapping[str, Layer] | None = None) -> Any:
    """What a folder's configuration and layers make, with shapes and no memory for weights."""
    import torch
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    # Making a model writes into its configuration.
    with torch.device("meta"):
        model = auto.from_config(deepcopy(config))
        return rebuild(model, layers) if layers else model


def _require_expressible(model: Any, layers: Mapping[str, Layer]) -> None:
    """Hold a model to the tensors that are filled when it is reloaded.

    Raises:
        ArtifactError: with the first layer that is made in another way.
    """
    own, made = (
        {name: tuple(tensor.shape) for name, tensor in one.state_dict().items()}
        for one in (model, _architecture(model.config, layers))
    )
    name = next((name for name in (*made, *own) if own.get(name) != made.get(name)), None)
    if name is not None:
        has, makes = (f"a tensor of shape {side[name]}" if name in side else "no such tensor" for side in (own, made))
        raise ArtifactError(
            f"the layer {name.rpartition('.')[0]} is not as the configuration of the model makes it ({name}: the model "
            f"has {has}, the configuration makes {makes}), and a folder of the runtime transformers tells the "
            "architecture by its configuration alone: take `runtime: torch`, `packed` or `openvino`, which save the "
            "graph itself, or leave out the step that changed the layer"
        )


def _rebuilt(folder: Path) -> Any:
    """A model some of whose layers are not as its architecture has them."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    auto: Any = AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]), no_init_weights():
        architecture = auto.from_config(AutoConfig.from_pretrained(folder))
    architecture.tie_weights()
    model = rebuild(architecture, parse((folder / FILE).read_text()))
    return fit_weights(model, load_file(folder / WEIGHTS), f"{WEIGHTS} beside {FILE}")


def _single(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors under the first of their names each: safetensors keeps no two names for one."""
    found: dict[tuple[int, tuple[int, ...]], str] = {}
    for name, tensor in state.items():
        found.setdefault((tensor.data_ptr(), tuple(tensor.shape)), name)
    return {name: state[name].contiguous() for name in found.values()}


class TransformersRunner(Runner):
    """A language model that was read from a folder.

    Args:
        model: as transformers has it, in evaluation mode.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, inputs: Tensors) -> Tensors:
        """Logits of every position."""
        import torch

        with torch.inference_mode():
            return (self._model(input_ids=inputs[0], use_cache=False).logits.float(),)

    def prepared(self, inputs: Tensors) -> Callable[[], object]:
        """The model on this batch, without a cache."""
        import torch

        def run() -> object:
            with torch.inference_mode():
                return self._model(input_ids=inputs[0], use_cache=False)

        return run

    def prefilling(self, tokens: torch.Tensor) -> Callable[[], object]:
        """The prompt into an empty cache, and the logits of its last position: as `generate` begins."""
        import torch

        def run() -> object:
            with torch.inference_mode():
                return self._model(input_ids=tokens, use_cache=True, logits_to_keep=1)

        return run

    def decoding(self, tokens: torch.Tensor) -> Callable[[], object]:
        """One greedy step of `generate`."""
        import torch

        with torch.inference_mode():
            begun = self._model(input_ids=tokens, use_cache=True, logits_to_keep=1)
        first, prompt = begun.logits[:, -1:].argmax(dim=-1), tokens.shape[1]
        state = {"cache": begun.past_key_values, "next": first, "made": 0}

        def run() -> object:
            with torch.inference_mode():
                if state["made"] == DECODED:
                    # A sliding window forgets what came first, so that its cache cannot be cut back: made anew.
                    state["cache"] = self._model(input_ids=tokens, use_cache=True, logits_to_keep=1).past_key_values
                    state["next"], state["made"] = first, 0
                position = torch.tensor([[prompt + state["made"]]])
                found = self._model(
                    input_ids=state["next"], past_key_values=state["cache"], position_ids=position, use_cache=True
                )
                state["next"] = found.logits[:, -1:].argmax(dim=-1)
                state["made"] += 1
                return found

        return run

    def evidence(self) -> Evidence:
        """Counts over the model's tensors, each once, and over its layers."""
        operators = Counter(
            type(part).__name__ for part in self._model.modules() if not any(True for _ in part.children())
        )
        return Evidence(operators=dict(sorted(operators.items())), tensors=decoder_counts.facts(self._model))

    def matrices(self) -> Iterator[tuple[str, np.ndarray[Any, Any], bool]]:
        """Rows of every linear and embedding layer, of grouped integers too."""
        from torch import nn

        seen: set[int] = set()
        for name, part in self._model.named_modules():
            grouped = hasattr(part, "grid") and hasattr(part, "rows")
            if not grouped and not isinstance(part, nn.Linear | nn.Embedding):
                continue
            weight = part.weight() if grouped else part.weight.detach()
            if grouped or weight.data_ptr() not in seen:
                seen.add(weight.data_ptr())
                yield name.removesuffix(".matrix"), weight[sampled(len(weight))].float().numpy(), grouped

    def macs(self, inputs: Tensors) -> int:
        """Multiply-accumulates on this batch, as `decoder_counts.macs` counts them."""
        return decoder_counts.macs(self._model, _architecture(self._model.config), *inputs[0].shape)
