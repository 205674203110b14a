"""What the gate costs: the wall time of one spec against a plain script that does the same work.

    python benchmarks/overhead.py [--epochs 3] [--repeats 3]

The spec removes channels of ResNet-20, fine-tunes, and measures size, accuracy and latency, cold (`--no-cache`),
through pytest. The script (plain.py) loads, compresses and measures the same in one process. Both are run in turn,
whole, and the ratio of the medians is printed.
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

HERE = Path(__file__).parent
SPEC = """version: 1
title: Overhead
task: image-classification
model: {{source: zoo, name: resnet20-digits}}
data: {{source: digits}}
compress:
  - {{method: channel-pruning, ratio: 0.3, finetune: {{epochs: {epochs}}}}}
budgets:
  size_mb: {{max_ratio: 0.9}}
  top1: {{min: 0.5}}
  latency_ms: {{max_ratio: 5.0}}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3, help="of fine-tuning: how long the work takes")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)}
    walls: dict[str, list[float]] = {"gate": [], "script": []}
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "specs" / "overhead.yaml"
        spec.parent.mkdir()
        spec.write_text(SPEC.format(epochs=options.epochs))
        gate = [
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--no-cache",
            "--update-baselines",
            "--reason",
            "measured",
        ]
        commands = {"gate": [*gate, str(spec)], "script": [str(HERE / "plain.py"), str(options.epochs)]}
        for _ in range(options.repeats):
            for name, command in commands.items():
                started = time.perf_counter()
                subprocess.run([sys.executable, *command], cwd=folder, env=environment, check=True, capture_output=True)
                walls[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(found) for name, found in walls.items()}
    for name, found in walls.items():
        print(f"{name:>7}: {medians[name]:6.1f} s  ({', '.join(f'{wall:.1f}' for wall in found)})")
    ratio = medians["gate"] / medians["script"]
    print(f"  ratio: {ratio:6.3f}")
    if options.json:
        options.json.write_text(json.dumps({"ratio": ratio, **walls}, indent=1))


if __name__ == "__main__":
    main()
