import sys
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import pytest
import yaml
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from harness.data.base import DATA
from harness.errors import UnknownName, WeighinError
from harness.methods.base import METHODS
from harness.metrics.base import METRICS
from harness.registry import NameOf, OneOf, Options, Registry
from harness.runtimes.base import RUNTIMES
from harness.sources.base import SOURCES
from harness.tasks.base import TASKS


@pytest.fixture
def shapes():
    """A registry of two parts and a fault; it belongs to no package."""
    registry: Registry[Options] = Registry("shapes", "shape")
    registry._loaded = True

    @registry.register
    class Circle(Options):
        shape: Literal["circle"] = "circle"
        radius: float = Field(gt=0)

    @registry.register
    class Square(Options):
        shape: Literal["square"] = "square"
        side: int = 1
        corners: ClassVar[int] = 4

    @registry.register
    class Crooked(Options):
        shape: Literal["crooked"] = "crooked"
        fault: ClassVar[bool] = True

    return registry


def test_parts_are_found_by_name_in_alphabetical_order(shapes):
    assert list(shapes) == ["circle", "crooked", "square"]
    assert shapes["square"](side=2).side == 2
    assert [name for name, _ in shapes.items()] == ["circle", "crooked", "square"]


def test_an_unknown_name_is_answered_with_the_closest(shapes):
    with pytest.raises(
        UnknownName, match=r"^unknown shape 'cirle'; allowed: circle, square\. Did you mean 'circle'\?$"
    ):
        shapes["cirle"]


def test_a_fault_is_a_part_that_is_offered_to_nobody(shapes):
    assert shapes.offered() == ["circle", "square"]
    assert shapes["crooked"]().shape == "crooked"
    with pytest.raises(UnknownName, match=r"^unknown shape 'crookd'; allowed: circle, square\.$"):
        shapes["crookd"]


def test_a_name_registered_twice_is_an_error_that_names_both(shapes):
    class Again(Options):
        shape: Literal["circle"] = "circle"

    with pytest.raises(
        WeighinError, match=r"shape 'circle' is registered twice: by .*test_registry and .*test_registry"
    ):
        shapes.register(Again)
    assert shapes["circle"] is not Again


def test_a_value_is_validated_as_the_part_that_it_names(shapes):
    any_shape = TypeAdapter(Annotated[Options, OneOf(shapes)])
    assert any_shape.validate_python({"shape": "circle", "radius": 1.5}).radius == 1.5
    for wrong in ({"shape": "circle"}, {"shape": "triangle"}, {"radius": 1.0}, {"shape": "square", "radius": 1.0}):
        with pytest.raises(ValidationError):
            any_shape.validate_python(wrong)


def test_options_are_strict_closed_finite_and_frozen(shapes):
    circle = shapes["circle"]
    for wrong in ("1.5", True, float("nan"), float("inf"), None, 0.0):
        with pytest.raises(ValidationError):
            circle(radius=wrong)
    with pytest.raises(ValidationError):
        circle(radius=1.0, diameter=2.0)
    with pytest.raises(ValidationError):
        circle(radius=1.0).radius = 2.0
    assert circle(radius=1).radius == 1.0


def test_a_list_of_parts_shares_the_editor_schema_of_each(shapes):
    class Drawing(BaseModel):
        drawn: list[Annotated[Options, OneOf(shapes)]]

    schema = Drawing.model_json_schema()
    assert schema["properties"]["drawn"]["items"]["discriminator"]["propertyName"] == "shape"
    assert set(schema["$defs"]) == {"Circle", "Crooked", "Square"}


def test_a_name_is_one_of_a_closed_set():
    name = TypeAdapter(Annotated[str, NameOf(("a", "b"))])
    assert name.json_schema() == {"enum": ["a", "b"], "type": "string"}
    with pytest.raises(ValidationError):
        name.validate_python("c")


def test_parts_of_other_distributions_are_found_by_entry_point(monkeypatch, tmp_path):
    (tmp_path / "theirs.py").write_text("HERE = True\n")
    metadata = tmp_path / "theirs-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[weighin.methods]\nany = theirs\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "theirs" not in sys.modules
    Registry("methods", "method").load()
    assert sys.modules.pop("theirs").HERE


def broken(folder, module):
    """What pip would leave of a distribution whose module cannot be imported."""
    (folder / "theirs.py").write_text(module)
    metadata = folder / "theirs-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-parts\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[weighin.methods]\nany = theirs\n")


def test_a_broken_entry_point_is_named_with_its_distribution_and_never_half_loaded(monkeypatch, tmp_path):
    broken(tmp_path, "import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry: Registry[Options] = Registry("methods", "method")
    for _ in range(2):
        with pytest.raises(WeighinError) as told:
            list(registry)
        assert str(told.value) == (
            "the distribution their-parts adds methods to weighin, and they cannot be loaded: entry point 'any' of "
            "weighin.methods, theirs: ModuleNotFoundError: No module named 'no_such_module'. Repair it, or uninstall it"
        )


def test_a_family_lists_its_package():
    names = list(METHODS)
    assert names == sorted(names)
    assert {"float16", "int8-static", "magnitude-pruning"} <= set(names)
    assert all(part.__module__.startswith("harness.methods.") for _, part in METHODS.items())


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("huffman", "{method: entropy-coding, coder: huffman}"), ("kmeans", "{method: weight-sharing}"),
        ("deep-compression", "{method: entropy-coding, coder: huffman}, {method: magnitude-pruning}, "
         "{method: weight-sharing}"),
        ("movement", "{method: movement-pruning}"), ("layer-drop", "{method: layer-dropping}"),
        ("knowledge-distillation", "{method: distillation}"), ("fp16", "{method: float16}"),
        ("awq", "{method: weight-only, bits: 4, awq: true}"), ("FP16", "{method: float16}"),
        ("ptq", "{method: int8-dynamic}, {method: int8-layerwise}, {method: int8-static}"),
        ("Smooth Quant", "{method: int8-static, model_type: transformer, smooth_quant_alpha: 0.5}"),
    ],
)  # fmt: skip
def test_a_name_from_the_literature_is_told_as_it_is_written_here(name, written):
    with pytest.raises(UnknownName) as raised:
        METHODS[name]
    assert str(raised.value).endswith(f"weight-sharing. Here that goes by {written}.")


def kinds_of_error(part, given):
    try:
        part.model_validate(given)
    except ValidationError as error:
        return {one["type"] for one in error.errors()}
    return set()


REGISTRIES = [DATA, METHODS, METRICS, RUNTIMES, SOURCES, TASKS]


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda one: one.family)
def test_other_names_are_no_names_of_this_family_and_stand_for_options_that_there_are(registry):
    for name, part in registry.items():
        for other, options in vars(part).get("also", {}).items():
            assert other not in set(registry)
            assert registry.meant(other.upper().replace("-", "_")), f"{other} of {name} is never found"
            given = yaml.safe_load(f"{{{options}}}")
            assert given.keys() <= part.model_fields.keys()
            # What else the part needs is the user's to say.
            assert kinds_of_error(part, given) <= {"missing", "value_error"}


def test_a_part_made_from_another_does_not_go_by_its_other_names():
    registry: Registry[Options] = Registry("shapes", "shape")
    registry._loaded = True

    class Disc(Options):
        shape: Literal["disc"] = "disc"
        also: ClassVar[Mapping[str, str]] = {"circle": ""}

    class Ring(Disc):
        shape: Literal["ring"] = "ring"

    registry.register(Disc)
    registry.register(Ring)
    assert registry.meant("circle") == ["{shape: disc}"]
