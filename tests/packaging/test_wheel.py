"""The wheel, built without a network: what is in it, and that it does its work where no checkout is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = {"harness": ROOT / "harness", "harness/models": ROOT / "models"}
SPEC = """version: 1
task: image-classification
model: {source: zoo, name: lenet5-digits}
data: {source: digits}
compress: [{method: float16}]
budgets: {size_mb: {max_ratio: 0.6}}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `pip install` would build it, with the build backend that is installed here."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *offline, "-w", folder, ROOT],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("weighin-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that it was unpacked to."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder)
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Another project, with one spec and nothing else."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "mine.yaml").write_text(SPEC)
    return tmp_path


def there(project: Path, installed: Path, *arguments: str) -> str:
    """What Python prints in that project, the checkout being nowhere on its path.

    Without `site` no `.pth` file is read, which is how an editable checkout comes onto the path.
    """
    places = (installed, *dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib")))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-S", *arguments], cwd=project, capture_output=True, text=True, timeout=120, check=False,
        env={**kept, "PYTHONPATH": os.pathsep.join(map(str, places))},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_holds_every_file_of_the_package_and_of_the_zoo_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    expected = {
        f"{place}/{path.relative_to(folder).as_posix()}"
        for place, folder in PARTS.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == expected
    assert {
        "harness/spec/spec.schema.json", "harness/report/report.schema.json",
        "harness/report/templates/report.html.j2", "harness/report/templates/report.css",
    } <= names  # fmt: skip
    weights = {path.parent.name for path in (ROOT / "models").glob("*/weights.safetensors")}
    assert len(weights) >= 10
    for part in ("weights.safetensors", "recipe.yaml"):
        assert {f"harness/models/{name}/{part}" for name in weights} <= names


def test_it_registers_the_plugin_and_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        (place,) = (name for name in file.namelist() if name.endswith(".dist-info/entry_points.txt"))
        points = ConfigParser()
        points.read_string(file.read(place).decode())
    assert dict(points["pytest11"]) == {"weighin": "harness.plugin"}
    assert dict(points["console_scripts"]) == {"weighin": "harness.__main__:main"}


def test_another_project_checks_and_collects_its_spec_with_it(installed: Path, elsewhere: Path) -> None:
    told = there(elsewhere, installed, "-m", "harness", "check", "specs/")
    assert told == "1 spec, 1 case, 1 budget: all well-formed\n"
    listed = there(elsewhere, installed, "-m", "pytest", "-m", "spec", "--collect-only", "-q", "-p", "no:cacheprovider")
    assert [line for line in listed.splitlines() if "::" in line] == [
        "specs/mine.yaml::size_mb", "specs/mine.yaml::evidence",
    ]  # fmt: skip


def test_a_model_of_the_zoo_comes_with_its_weights_there(installed: Path, elsewhere: Path) -> None:
    code = (
        "import json, sys; from pathlib import Path; import harness; from harness.sources import shelf; "
        "from harness.sources.zoo import Zoo; model = Zoo(name='lenet5-digits').load(Path()); "
        "print(json.dumps([sys.path, harness.__file__, str(shelf.folder() / 'lenet5-digits' / shelf.WEIGHTS), "
        "sum(one.numel() for one in model.parameters())]))"
    )
    path, package, weights, parameters = json.loads(there(elsewhere, installed, "-c", code))
    assert [place for place in path if place and (Path(place) / "harness" / "__init__.py").exists()] == [str(installed)]
    assert package == str(installed / "harness" / "__init__.py")
    assert Path(weights).read_bytes() == (ROOT / "models" / "lenet5-digits" / "weights.safetensors").read_bytes()
    assert Path(weights).is_relative_to(installed)
    assert parameters == 61_706
