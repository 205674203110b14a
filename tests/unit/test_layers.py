"""Imports go one way: leaves, families, then the stages from a spec to a report; and none of them brings torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "harness"

# Each layer may import itself and what stands before it.
LAYERS = {
    "leaves": "__init__ errors code extras folders registry forms evidence statistics measurement boxes packaged",
    "artifacts": "artifacts",
    "families": "data tasks sources methods runtimes metrics training zoo lowering recipes",
    "spec": "spec",
    "run": "run",
    "judge": "judge",
    "baselines": "baselines",
    "retake": "retake",
    "proof": "mutants prove",
    "report": "report",
    "audit": "audit",
    "gate": "gate",
    "entries": "plugin __main__ commands",
}
RANK = {name: rank for rank, names in enumerate(LAYERS.values()) for name in names.split()}
HEAVY = """
    bitarray constriction
    torch torchvision timm openvino nncf sklearn skimage PIL transformers diffusers ultralytics torch_pruning tensorly
    bitsandbytes safetensors optimum onnx onnxruntime jinja2
"""


def imported(path: Path) -> set[str]:
    """First names below `harness` that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "harness" else [module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("harness.")}
    return found & RANK.keys()


def unit(path: Path) -> str:
    """The first name below `harness` of a file."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


FILES = sorted(ROOT.rglob("*.py"))


def test_every_module_has_a_layer():
    assert {unit(path) for path in FILES} <= RANK.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_import_points_upward(path):
    upward = {name for name in imported(path) if RANK[name] > RANK[unit(path)]}
    assert not upward, f"{unit(path)} may not know {', '.join(sorted(upward))}"


def known(by: str) -> set[str]:
    """What the modules of one package, or one module, import of the others."""
    return set().union(*(imported(path) for path in FILES if unit(path) == by)) - {by}


def cycles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Names that know each other, directly or through others."""
    reached = {name: set(others) for name, others in graph.items()}
    for through in graph:
        for others in reached.values():
            if through in others:
                others |= reached[through]
    return {
        frozenset({one, other}) for one in graph for other in reached[one] if one != other and one in reached[other]
    }


def test_no_two_packages_know_each_other():
    """Families of parts stand in one layer, where an import either way would not point upward."""
    graph = {name: known(name) for name in RANK}
    assert graph["metrics"] >= {"tasks", "measurement"}
    assert sorted(map(sorted, cycles(graph))) == []


def test_a_cycle_is_found_however_long_it_is():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert cycles(graph) == {frozenset("ab"), frozenset("bc"), frozenset("ac")}
    assert cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == set()


def test_the_walk_sees_an_upward_import(tmp_path):
    module = tmp_path / "bad.py"
    module.write_text("def f():\n    from harness.judge.verdict import State\n    import harness.report.html\n")
    assert imported(module) == {"judge", "report"}


def test_statistics_know_nothing_of_the_program():
    assert set().union(*(imported(path) for path in (ROOT / "statistics").rglob("*.py"))) <= {"statistics"}


CLOCKS_AND_FILES = {"time", "os", "pathlib", "tempfile", "shutil", "io", "random", "socket", "subprocess", "glob"}


def test_the_judge_touches_no_clock_and_no_file():
    for path in (ROOT / "judge").rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {name.partition(".")[0] for name in names} & CLOCKS_AND_FILES, path
        called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not called & {"today", "now", "utcnow", "open", "read_text", "write_text"}, path


def needs_pytest(path: Path) -> bool:
    """Whether a file imports pytest when it runs, and not only where its types are checked."""
    tree = ast.parse(path.read_text())
    typed = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in typed:
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and id(node) not in typed:
            names.add(node.module or "")
    return any(name.partition(".")[0] in ("pytest", "_pytest") for name in names)


def test_only_the_gate_and_the_plugin_need_pytest():
    assert {unit(path) for path in FILES if needs_pytest(path)} == {"gate", "plugin"}


@pytest.mark.parametrize(
    ("source", "needed"),
    [
        ("def f():\n    import pytest\n", True),
        ("from _pytest.skipping import Skip\n", True),
        ("if TYPE_CHECKING:\n    import pytest\nelse:\n    import pytest\n", True),
        ("if TYPE_CHECKING:\n    import pytest\n", False),
        ("import pytest_like\n", False),
    ],
)
def test_an_import_for_types_alone_is_told_from_one_that_runs(tmp_path, source, needed):
    (tmp_path / "some.py").write_text(source)
    assert needs_pytest(tmp_path / "some.py") is needed


EVERYTHING = """
import importlib, pkgutil, sys
import harness
for module in pkgutil.walk_packages(harness.__path__, "harness."):
    # Architectures are torch modules: they are imported where a model is built, and nowhere else.
    if not module.name.startswith("harness.zoo."):
        importlib.import_module(module.name)
from harness.data.base import DATA
from harness.methods.base import METHODS
from harness.metrics.base import METRICS
from harness.runtimes.base import RUNTIMES
from harness.sources.base import SOURCES
from harness.tasks.base import TASKS
for registry in (DATA, METHODS, METRICS, RUNTIMES, SOURCES, TASKS):
    assert registry.items(), registry.family
    for name, part in registry.items():
        part.model_json_schema()
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_importing_every_module_and_listing_every_part_brings_no_heavy_package():
    run = subprocess.run([sys.executable, "-c", EVERYTHING], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    assert not set(run.stdout.split()) & set(HEAVY.split())
    assert "pydantic" in run.stdout
