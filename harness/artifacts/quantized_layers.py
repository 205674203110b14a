"""Layers whose weights are stored as integers, and how an artifact tells of them: typed descriptions, and no code.

An artifact that keeps a model as tensors and not as a program writes the description of each such layer beside them;
loading rebuilds the layers on the float architecture, and fills them. A layer tells its own by `description`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from harness.artifacts.bitsandbytes_layers import Bnb4bitLinear, BnbInt8Linear
from harness.artifacts.integer_modules import Grid, matrix, modules
from harness.artifacts.openvino_codes import Coded
from harness.errors import ArtifactError
from harness.registry import Options

if TYPE_CHECKING:
    import torch
    from torch import nn

FILE = "layers.json"


class GroupedLinear(Options):
    """A linear layer of grouped integers, widened at every call."""

    kind: Literal["grouped-linear"] = "grouped-linear"
    grid: Grid
    bias: bool

    def build(self, layer: nn.Module) -> nn.Module:
        """The layer, its tensors to be filled."""
        made: nn.Module = modules()["linear"](self, matrix(self.grid), _bias(self.grid.rows if self.bias else 0))
        return made


class GroupedEmbedding(Options):
    """An embedding of grouped integers: only the rows that are looked up are widened."""

    kind: Literal["grouped-embedding"] = "grouped-embedding"
    grid: Grid
    multiplier: float = Field(default=1.0, description="what the looked-up rows are multiplied by")

    def build(self, layer: nn.Module) -> nn.Module:
        """The layer, its tensors to be filled."""
        made: nn.Module = modules()["embedding"](self, matrix(self.grid))
        return made


class TiedLinear(Options):
    """A linear layer that multiplies with the matrix of an embedding, which is stored once."""

    kind: Literal["tied-linear"] = "tied-linear"
    to: str = Field(description="the embedding's name")
    bias: bool

    def build(self, layer: nn.Module) -> nn.Module:
        """The layer without its matrix, which `rebuild` gives it."""
        raise ArtifactError(f"a layer is tied to {self.to}, which is no quantized embedding")


class CorrectedLinear(Options):
    """A linear layer with a low-rank correction beside it."""

    kind: Literal["corrected-linear"] = "corrected-linear"
    base: Layer | None = Field(description="the layer that is corrected; null: in float, as the architecture has it")
    inputs: int = Field(ge=1)
    outputs: int = Field(ge=1)
    rank: int = Field(ge=1)

    def build(self, layer: nn.Module) -> nn.Module:
        """The layer and its correction, their tensors to be filled."""
        from torch import nn

        base = layer if self.base is None else self.base.build(layer)
        # Nothing is drawn: `rebuild` keeps the generator as it is.
        down = nn.Linear(self.inputs, self.rank, bias=False)
        up = nn.Linear(self.rank, self.outputs, bias=False)
        return corrected(self, base, down, up)


Layer = Annotated[
    GroupedLinear | GroupedEmbedding | TiedLinear | CorrectedLinear | BnbInt8Linear | Bnb4bitLinear,
    Field(discriminator="kind"),
]
CorrectedLinear.model_rebuild()
_LAYERS: TypeAdapter[dict[str, Layer]] = TypeAdapter(dict[str, Layer])


def described(model: nn.Module) -> dict[str, Layer]:
    """Name → description of every layer that is not as the float architecture has it; the outermost ones."""
    found: dict[str, Layer] = {}
    owners: dict[int, str] = {}
    for name, part in model.named_modules():
        told = getattr(part, "description", None)
        if told is None or any(name.startswith(f"{outer}.") for outer in found):
            continue
        if isinstance(told, GroupedEmbedding):
            owners[id(part.matrix)] = name
        found[name] = told
    # By the name that the embedding has from here: a wrapper may stand around the model.
    return {
        name: told.model_copy(update={"to": owners[id(model.get_submodule(name).matrix)]})
        if isinstance(told, TiedLinear)
        else told
        for name, told in found.items()
    }


def dump(layers: Mapping[str, Layer]) -> str:
    """The text of `layers.json`."""
    return _LAYERS.dump_json(dict(layers), indent=1).decode()


def parse(text: str) -> dict[str, Layer]:
    """The descriptions in a `layers.json`.

    Raises:
        ArtifactError: it says something else.
    """
    try:
        return _LAYERS.validate_json(text)
    except ValidationError as error:
        raise ArtifactError(f"{FILE} cannot be read: {error.errors()[0]['msg']}") from error


def rebuild(model: nn.Module, layers: Mapping[str, Layer]) -> nn.Module:
    """A float architecture with these layers in the place of its own, ready to be filled from a state dictionary.

    Raises:
        ArtifactError: the architecture has no such layer, or a layer is tied to none.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        # Tied layers last: they take the matrix of an embedding that is there by then.
        for name, layer in sorted(layers.items(), key=lambda item: isinstance(item[1], TiedLinear)):
            parent, _, last = name.rpartition(".")
            try:
                owner = model.get_submodule(parent)
                old = owner.get_submodule(last)
                if isinstance(layer, TiedLinear):
                    new = tied(layer, model.get_submodule(layer.to), _bias(len(old.bias) if layer.bias else 0))  # type: ignore[arg-type]
                else:
                    new = layer.build(old)
            except AttributeError as error:
                raise ArtifactError(f"{FILE} names the layer {name}, which the architecture lacks") from error
            setattr(owner, last, new.eval())
    return model


def grouped_layers(model: nn.Module) -> tuple[dict[str, Coded], dict[str, nn.Module]]:
    """The layers of grouped integers, for a graph: their codes, and layers in float that answer alike.

    Returns:
        Name → codes, and name → float layer; layers that share a matrix share it there too.

    Raises:
        ArtifactError: a layer is stored in another way, or its groups do not divide its rows.
    """
    import torch
    from torch import nn

    class Scaled(nn.Embedding):
        """An embedding whose rows are multiplied by a number."""

        factor: float

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = super().forward(ids) * self.factor
            return found

    weights: dict[int, nn.Parameter] = {}
    codes: dict[str, Coded] = {}
    floats: dict[str, nn.Module] = {}
    for name, told in described(model).items():
        layer: Any = model.get_submodule(name)
        if not isinstance(told, GroupedLinear | GroupedEmbedding | TiedLinear):
            raise ArtifactError(f"{name} is stored as {told.kind}, which no graph has an operator for")
        stored = layer.matrix
        grid: Grid = stored.grid
        if grid.columns % grid.group:
            raise ArtifactError(f"{name}: a graph takes groups that divide {grid.columns} columns, not {grid.group}")
        codes[name] = stored.coded()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            weight = weights.setdefault(id(stored), nn.Parameter(stored.weight(), requires_grad=False))
        made: Any
        if isinstance(told, GroupedEmbedding):
            made = Scaled(grid.rows, grid.columns, _weight=weight, _freeze=True)
            made.factor = told.multiplier
        else:
            with torch.device("meta"):
                made = nn.Linear(grid.columns, grid.rows, bias=False)
            made.bias = layer.bias
        made.weight = weight
        floats[name] = made.eval()
    return codes, floats


def grouped_linear(grid: Grid, stored: nn.Module, bias: nn.Parameter | None) -> nn.Module:
    """A linear layer that multiplies with a matrix of grouped integers."""
    made: nn.Module = modules()["linear"](GroupedLinear(grid=grid, bias=bias is not None), stored, bias).eval()
    return made


def grouped_embedding(grid: Grid, stored: nn.Module, multiplier: float = 1.0) -> nn.Module:
    """An embedding that looks up rows of a matrix of grouped integers."""
    made: nn.Module = modules()["embedding"](GroupedEmbedding(grid=grid, multiplier=multiplier), stored).eval()
    return made


def tied(description: TiedLinear, embedding: nn.Module, bias: nn.Parameter | None) -> nn.Module:
    """A linear layer that multiplies with the matrix of a quantized embedding."""
    if not isinstance(getattr(embedding, "description", None), GroupedEmbedding):
        raise ArtifactError(f"a layer is tied to {description.to}, which is no quantized embedding")
    made: nn.Module = modules()["linear"](description, embedding.matrix, bias).eval()
    return made


def corrected(description: CorrectedLinear, base: nn.Module, down: nn.Module, up: nn.Module) -> nn.Module:
    """base(x) + up(down(x))."""
    made: nn.Module = modules()["corrected"](description, base, down, up)
    return made


def _bias(length: int) -> nn.Parameter | None:
    import torch

    return torch.nn.Parameter(torch.zeros(length)) if length else None
