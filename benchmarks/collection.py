"""What collecting costs: this plugin against a minimal one that reads the same files with PyYAML's CSafeLoader.

    python benchmarks/collection.py [--specs 1000 10000] [--repeats 3]

Generates folders of specs (five budgets each), collects them with `pytest --collect-only` in a process of its own, with
either plugin in turn, and prints the medians of wall time and peak memory and their ratios. The minimal plugin
yields the same number of items from each file and checks nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPEC = """version: 1
title: Generated spec {index}
task: image-classification
model: {{source: zoo, name: resnet20-digits}}
data: {{source: digits, calibration: 128}}
compress:
  - {{method: channel-pruning, ratio: 0.{ratio}, importance: l2, finetune: {{epochs: 1}}}}
  - {{method: int8-static, observer: histogram}}
deploy: {{runtime: torch}}
measure: {{seed: {index}, threads: 1, batch: 1, confidence: 0.95}}
budgets:
  size_mb: {{max: 3.0, max_ratio: 0.30}}
  top1: {{min: 0.95, max_drop: 0.02, reference_min: 0.96}}
  latency_ms: {{max_ratio: 0.80}}
  latency_b8: {{metric: latency_ms, batch: 8, max_ratio: 0.9}}
  sparsity: {{min: 0.1}}
tier: ci
"""

MINIMAL = """
import pytest, yaml

class Item(pytest.Item):
    def runtest(self):
        pass

class File(pytest.File):
    def collect(self):
        spec = yaml.load(self.path.read_text(), yaml.CSafeLoader)
        for label in (*spec["budgets"], "evidence"):
            yield Item.from_parent(self, name=label)

def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".yaml":
        return File.from_parent(parent, path=file_path)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--specs", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    rows = []
    print(f"{'specs':>7} {'plugin':>9} {'wall s':>8} {'peak MB':>8}")
    for count in options.specs:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            generate(root, count)
            figures: dict[str, list[tuple[float, float]]] = {"weighin": [], "minimal": []}
            for _ in range(options.repeats):
                for plugin, found in figures.items():
                    found.append(collect(root, plugin, count))
            medians = {
                plugin: tuple(statistics.median(column) for column in zip(*found, strict=True))
                for plugin, found in figures.items()
            }
        for plugin, (wall, peak) in medians.items():
            print(f"{count:>7} {plugin:>9} {wall:>8.2f} {peak:>8.0f}")
        ratio = [ours / theirs for ours, theirs in zip(medians["weighin"], medians["minimal"], strict=True)]
        print(f"{count:>7} {'ratio':>9} {ratio[0]:>8.2f} {ratio[1]:>8.2f}")
        rows.append({"specs": count, "wall_ratio": ratio[0], "memory_ratio": ratio[1],
                     "wall_s": medians["weighin"][0], "peak_mb": medians["weighin"][1]})  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def generate(root: Path, count: int) -> None:
    """Write `count` specs, a hundred to a folder."""
    for index in range(count):
        path = root / "specs" / f"{index // 100:03}" / f"spec{index:05}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SPEC.format(index=index, ratio=1 + index % 5))
    (root / "minimal.py").write_text(MINIMAL)
    (root / "pytest.ini").write_text("[pytest]\n")


def collect(root: Path, plugin: str, count: int) -> tuple[float, float]:
    """Seconds and peak megabytes of one collection."""
    chosen = ["-p", "harness.plugin"] if plugin == "weighin" else ["-p", "minimal"]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider", *chosen, "specs"]
    # Only the plugin under test is loaded, on both sides.
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": f"{root}:{Path(__file__).parents[1]}",
    }
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = status
    items = sum(int(line.rsplit(":", 1)[1]) for line in output.splitlines() if ".yaml: " in line)
    if status != 0 or items != 6 * count:
        raise SystemExit(f"{plugin} collected {items} of {6 * count} items (status {status}):\n{output[-2000:]}")
    return wall, usage.ru_maxrss / 1e3


if __name__ == "__main__":
    main()
