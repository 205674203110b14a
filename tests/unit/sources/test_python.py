import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from harness.errors import SourceError
from harness.sources.python import Python

NETS = """
import torch
from {package}.blocks import head

def build(width: float, classes: int = 10, *, norm="batch", taps=(1, 2)):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, int(8 * width)), head(int(8 * width), classes))

def grab(**options):
    return torch.nn.Linear(options["inputs"], 2)

def lazy():
    import {package}_late
    return {package}_late.net()

class Net(torch.nn.Module):
    def __init__(self, depth=1):
        super().__init__()
        self.layers = torch.nn.Sequential(*[torch.nn.Linear(2, 2) for _ in range(depth)])

    @classmethod
    def deep(cls):
        return cls(depth=3)

def number():
    return 3

def broken():
    raise RuntimeError("no such table")

SIZE = 3
"""
BLOCKS = "import torch\ndef head(inputs, classes):\n    return torch.nn.Linear(inputs, classes)\n"


@pytest.fixture
def package(request) -> str:
    """A module name that no other test imports: imported modules stay."""
    name = f"nets_{abs(hash(request.node.nodeid)):x}"
    yield name
    for module in [one for one in sys.modules if one.startswith(name)]:
        del sys.modules[module]


@pytest.fixture
def root(tmp_path, package) -> Path:
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "nets.py").write_text(NETS.format(package=package))
    (folder / "blocks.py").write_text(BLOCKS)
    (tmp_path / f"{package}_late.py").write_text("import torch\ndef net():\n    return torch.nn.Identity()\n")
    return tmp_path


def test_a_factory_with_arguments_and_weights(root, package):
    donor = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 4), torch.nn.Linear(4, 3))
    save_file(donor.state_dict(), root / "w.safetensors")
    source = Python(
        factory=f"{package}.nets:build", arguments={"width": 0.5, "classes": 3, "taps": [1, 2]}, weights="w.safetensors"
    )
    path = list(sys.path)
    model = source.load(root)
    assert sys.path == path
    assert not model.training
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(x), donor(x))


def test_without_weights_every_process_gets_the_same_model(root, package):
    source = Python(factory=f"{package}.nets:build", arguments={"width": 1.0})
    before = torch.random.get_rng_state()
    first = source.load(root)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(99)
    second = source.load(root)
    assert not first.training
    assert torch.equal(first[1].weight, second[1].weight)


@pytest.mark.parametrize(("attribute", "layers"), [("Net", 1), ("Net.deep", 3)])
def test_a_class_or_a_method_is_a_factory(root, package, attribute, layers):
    assert len(Python(factory=f"{package}.nets:{attribute}").load(root).layers) == layers


def test_imports_inside_the_factory_find_the_project(root, package):
    assert isinstance(Python(factory=f"{package}.nets:lazy").load(root), torch.nn.Identity)


def test_an_installed_package_serves_too(tmp_path):
    model = Python(factory="torch.nn:Linear", arguments={"in_features": 3, "out_features": 2}).load(tmp_path)
    assert model.weight.shape == (2, 3)


@pytest.mark.parametrize(
    ("attribute", "arguments", "sentence"),
    [
        ("build", {"widht": 0.5}, r"no option 'widht'; it takes: width, classes, norm, taps.*Did you mean 'width'"),
        ("build", {}, r"nets:build needs width: give it in `arguments:`"),
        ("grab", {"input": 3}, r"nets:grab refuses its options: KeyError: 'inputs'"),
        ("bild", {}, r"nets has no 'bild'"),
        ("SIZE", {}, r"nets:SIZE is of type int, which cannot be called"),
        ("number", {}, r"nets:number gives an object of type int and not a torch\.nn\.Module"),
        ("broken", {}, r"RuntimeError: no such table"),
    ],
)
def test_what_does_not_fit_is_answered_with_a_sentence(root, package, attribute, arguments, sentence):
    path = list(sys.path)
    with pytest.raises(SourceError, match=sentence):
        Python(factory=f"{package}.nets:{attribute}", arguments=arguments).load(root)
    assert sys.path == path


def test_any_keyword_goes_where_the_factory_takes_any(root, package):
    assert Python(factory=f"{package}.nets:grab", arguments={"inputs": 7}).load(root).in_features == 7


def test_an_absent_module_is_named_and_an_absent_dependency_passes_through(root, package):
    with pytest.raises(SourceError, match=rf"no module '{package}\.nest' in .* or among the installed packages"):
        Python(factory=f"{package}.nest:build").load(root)
    with pytest.raises(SourceError, match="no module 'nowhere_at_all'"):
        Python(factory="nowhere_at_all.nets:build").load(root)
    (root / package / "needy.py").write_text("import a_package_that_is_not_installed\n")
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_installed"):
        Python(factory=f"{package}.needy:build").load(root)


def test_a_module_that_fails_on_import_is_named(root, package):
    (root / package / "faulty.py").write_text("1 / 0\n")
    with pytest.raises(SourceError, match=r"faulty failed: ZeroDivisionError"):
        Python(factory=f"{package}.faulty:build").load(root)


def test_a_module_hidden_by_one_already_imported_is_told(tmp_path):
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").write_text("import torch\nbuild = torch.nn.Identity\n")
    with pytest.raises(SourceError, match=r"is hidden by .*a module of the same name: rename yours"):
        Python(factory="harness:build").load(tmp_path)


@pytest.mark.parametrize("factory", ["mypackage.nets", "mypackage/nets.py:build", ":build", "a:b()", "a:"])
def test_the_form_of_a_factory_is_checked(factory):
    with pytest.raises(ValidationError, match="factory"):
        Python(factory=factory)


@pytest.mark.parametrize("value", [1, 0.5, True, "x", None, [1, 2], ["a", 0.5]])
def test_arguments_keep_their_types(value):
    held = Python(factory="a:b", arguments={"x": value}).arguments["x"]
    assert held == value
    assert type(held) is type(value)


def test_nested_arguments_are_refused():
    with pytest.raises(ValidationError):
        Python(factory="a:b", arguments={"x": {"y": 1}})


def test_the_fingerprint_follows_the_code_without_importing_it(root, package):
    source = Python(factory=f"{package}.nets:build")
    seen = [source.fingerprint(root)]
    # The module itself, its neighbour, data beside it, and a module of the project that it imports inside a function.
    for changed in ("nets.py", "blocks.py", "table.json", f"../{package}_late.py"):
        path = root / package / changed
        path.write_text((path.read_text() if path.exists() else "") + "\n# changed\n")
        seen.append(source.fingerprint(root))
    (root / "unrelated.py").write_text("x = 1\n")
    (root / package / "__pycache__").mkdir()
    (root / package / "__pycache__" / "nets.pyc").write_bytes(b"x")
    assert source.fingerprint(root) == seen[-1]
    assert len(set(seen)) == 5
    assert not [one for one in sys.modules if one.startswith(package)]


def test_the_fingerprint_of_a_single_module_and_of_an_installed_one(tmp_path):
    (tmp_path / "single_net.py").write_text("x = 1\n")
    source = Python(factory="single_net:build")
    first = source.fingerprint(tmp_path)
    (tmp_path / "single_net.py").write_text("x = 2\n")
    assert source.fingerprint(tmp_path) != first
    (tmp_path / "single_net.py").write_text("x = (\n")  # does not parse: its bytes still count
    assert source.fingerprint(tmp_path) != first
    installed = Python(factory="efficientnet_lite_pytorch:EfficientNet")
    assert installed.fingerprint(tmp_path) == installed.fingerprint(tmp_path) != first
    assert Python(factory="colorsys:build").fingerprint(tmp_path)
    with pytest.raises(SourceError, match="no module 'nowhere_at_all'"):
        Python(factory="nowhere_at_all:build").fingerprint(tmp_path)


def test_the_fingerprint_follows_the_weights(root, package):
    (root / "w.safetensors").write_bytes(b"one")
    source = Python(factory=f"{package}.nets:build", weights="w.safetensors")
    first = source.fingerprint(root)
    (root / "w.safetensors").write_bytes(b"two")
    assert source.fingerprint(root) != first
