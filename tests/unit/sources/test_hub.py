"""The hub as a server on this machine that behaves badly in one way."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest
from huggingface_hub import constants, get_session, hf_hub_download

from harness.data.hub import Datasets
from harness.errors import DataError, SourceError
from harness.sources.download import PROBE_SECONDS, STALL_SECONDS, checkpoint
from harness.sources.hub import fetched
from harness.sources.timm import Timm
from harness.sources.transformers import Transformers

pytestmark = pytest.mark.timeout(60)

COMMIT, CONTENT = "c" * 40, bytes(range(256)) * 8
Answer = Callable[[BaseHTTPRequestHandler], None]
seen: list[str] = []


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Put a server in the hub's place, and an empty folder in that of its cache."""
    import timm
    import transformers

    # What is timed is the hub, and not how long it takes to import these.
    assert timm.__version__
    assert transformers.AutoModel
    for name in ("huggingface_hub.constants.HF_HUB_CACHE", "datasets.config.HF_DATASETS_CACHE"):
        monkeypatch.setattr(name, str(tmp_path))
    monkeypatch.setattr("datasets.config.HF_UPDATE_DOWNLOAD_COUNTS", False)

    @contextmanager
    def serving(answer: Answer) -> Iterator[None]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_POST(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                seen.append(self.path)
                if self.path == "/":
                    return reply(self, 200)
                answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *arguments: object) -> None:
                pass  # A client that gives up is what is tested.

        seen.clear()
        server = Server(("127.0.0.1", 0), Handler)
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        monkeypatch.setattr("datasets.config.HF_ENDPOINT", url)
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        try:
            yield
        finally:
            over.set()
            server.shutdown()
            server.server_close()

    over.clear()
    return serving


over = threading.Event()


def reply(to: BaseHTTPRequestHandler, status: int, content: bytes = b"", **headers: str) -> None:
    to.send_response(status)
    for name, value in headers.items():
        to.send_header(name.replace("_", "-"), value)
    to.send_header("Content-Length", str(len(content)))
    to.end_headers()
    if to.command == "GET":
        to.wfile.write(content)


def silence(to: BaseHTTPRequestHandler) -> None:
    over.wait(60)


def model(send: Callable[[BaseHTTPRequestHandler], None]) -> Answer:
    """A file's address answers as the hub does, and its content comes as `send` sends it."""

    def answer(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.send_header("X-Repo-Commit", COMMIT)
        to.send_header("ETag", f'"{hashlib.sha256(CONTENT).hexdigest()}"')
        to.send_header("Content-Length", str(len(CONTENT)))
        to.end_headers()
        if to.command == "GET":
            send(to)

    return answer


SOURCES = {
    "timm": lambda root: Timm(name="mobilenetv3_small_100", weights="pretrained").load(root),
    "transformers": lambda root: Transformers(name="owner/model", head="sentence-embedding").load(root),
    "datasets": lambda root: Datasets(name="owner/texts", revision=COMMIT).load(root),
}


def test_a_hub_that_goes_silent_has_its_answer_in_time_with_the_way_out(hub, tmp_path):
    """With the patience that users meet."""
    started = time.monotonic()
    with hub(silence), pytest.raises(SourceError, match=r"stopped answering \(no answer for 6 s\).* Give .*instead"):
        SOURCES["timm"](tmp_path)
    assert time.monotonic() - started < 15
    # The look at the hub comes before, and may take its time too.
    assert PROBE_SECONDS + STALL_SECONDS < 13


@pytest.mark.parametrize("source", ["transformers", "datasets"])
def test_every_source_that_asks_the_hub_is_held_to_it(hub, patience, tmp_path, source):
    started = time.monotonic()
    with (
        hub(silence),
        pytest.raises((SourceError, DataError), match=r"stopped answering \(no answer for 3 s\).* Give .*instead"),
    ):
        SOURCES[source](tmp_path)
    assert time.monotonic() - started < 12


@pytest.mark.parametrize("source", SOURCES)
def test_a_hub_that_says_later_is_not_waited_for(hub, tmp_path, source):
    """It names 300 seconds, which the hub's client would sleep, several times."""
    started = time.monotonic()
    with hub(lambda to: reply(to, 503, Retry_After="300")), pytest.raises((SourceError, DataError), match="instead"):
        SOURCES[source](tmp_path)
    assert time.monotonic() - started < 15


def download(name: str = "model.bin") -> str:
    return fetched(lambda: hf_hub_download("owner/model", name), "the model", "Give a file instead")


@pytest.fixture
def patience(monkeypatch):
    """Three seconds of it: on a busy machine one is too little to tell a silent server from a slow start."""
    for module in ("hub", "download"):
        monkeypatch.setattr(f"harness.sources.{module}.STALL_SECONDS", 3.0)


def test_a_slow_download_that_moves_on_may_take_longer_than_any_silence(hub, patience):
    def trickle(to: BaseHTTPRequestHandler) -> None:
        for start in range(0, len(CONTENT), 256):
            to.wfile.write(CONTENT[start : start + 256])
            to.wfile.flush()
            time.sleep(0.6)

    started = time.monotonic()
    with hub(model(trickle)):
        path = download()
    assert time.monotonic() - started > 4
    with open(path, "rb") as stream:
        assert stream.read() == CONTENT


def test_a_download_that_stops_half_way_is_not_begun_again(hub, patience):
    def half(to: BaseHTTPRequestHandler) -> None:
        to.wfile.write(CONTENT[:1000])
        to.wfile.flush()
        over.wait(60)

    started = time.monotonic()
    with hub(model(half)), pytest.raises(SourceError, match=r"127\.0\.0\.1 stopped answering \(no answer for 3 s\)"):
        download()
    assert time.monotonic() - started < 10
    assert len([path for path in seen if path.endswith("model.bin")]) == 2  # HEAD, GET


def test_a_checkpoint_elsewhere_that_stops_half_way_ends_too(hub, patience, tmp_path, monkeypatch):
    def half(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.send_header("Content-Length", str(len(CONTENT)))
        to.end_headers()
        if to.command == "GET":
            to.wfile.write(CONTENT[:1000])
            to.wfile.flush()
            over.wait(60)

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    started = time.monotonic()
    with hub(half), pytest.raises(SourceError, match=r"timed out\. Give `weights:` the path of a local file"):
        checkpoint(f"{constants.ENDPOINT}/net-0123abcd.pth", "the weights")
    assert time.monotonic() - started < 10
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_several_files_of_a_silent_hub_are_one_silence(hub, patience, tmp_path):
    names = [f"model-{index:02}.safetensors" for index in range(40)]

    def answer(to: BaseHTTPRequestHandler) -> None:
        if "/tree/" in to.path:
            files = [{"type": "file", "path": name, "size": 9, "oid": "0" * 40} for name in names]
            reply(to, 200, json.dumps(files).encode(), Content_Type="application/json")
        elif to.path.startswith("/api/"):
            reply(to, 200, json.dumps({"id": "owner/model", "sha": COMMIT}).encode(), Content_Type="application/json")
        else:
            over.wait(60)

    started = time.monotonic()
    with hub(answer), pytest.raises(SourceError, match="stopped answering"):
        SOURCES["transformers"](tmp_path)
    assert time.monotonic() - started < 10


def test_the_hubs_client_is_as_it_was_afterwards(hub, patience):
    before = constants.HF_HUB_DISABLE_XET
    with hub(silence), pytest.raises(SourceError):
        download()
    assert get_session().timeout.read is None
    assert before == constants.HF_HUB_DISABLE_XET


CARD = """---
dataset_info:
  features:
  - {name: text, dtype: string}
  - {name: second, dtype: string}
  - {name: alike, dtype: float32}
  - name: kind
    dtype: {class_label: {names: {'0': positive, '1': negative}}}
---
"""


def rows(part: str, count: int, kind: int = 0) -> bytes:
    """One row in three is of the second class; the score of the pair in row n is n / 4."""
    return b"".join(
        json.dumps(
            {"text": f"{part} {n}", "second": f"{part} other {n}", "alike": n / 4, "kind": kind or int(n % 3 == 0)}
        ).encode()
        + b"\n"
        for n in range(count)
    )


FILES = {"README.md": CARD.encode(), "train.jsonl": rows("train", 9), "test.jsonl": rows("test", 6)}


def dataset(files: dict[str, bytes]) -> Answer:
    """The little of the hub's interface that a dataset is read through."""

    def entry(name: str) -> dict[str, object]:
        return {"type": "file", "path": name, "size": len(files[name]), "oid": hashlib.sha1(files[name]).hexdigest()}

    def answer(to: BaseHTTPRequestHandler) -> None:
        path, name = to.path.partition("?")[0], to.path.partition("?")[0].rpartition("/")[2]
        found: object = None
        if to.command == "POST" and "/paths-info/" in path:
            asked = parse_qs(to.rfile.read(int(to.headers["Content-Length"])).decode())["paths"]
            found = [entry(one) for one in asked if one in files]
        elif "/tree/" in path:
            found = [entry(one) for one in files]
        elif "/revision/" in path or path == "/api/datasets/owner/texts":
            found = {"id": "owner/texts", "sha": COMMIT, "siblings": [{"rfilename": one} for one in files]}
        elif name in files:
            etag = f'"{hashlib.sha1(files[name]).hexdigest()}"'
            return reply(to, 200, files[name], X_Repo_Commit=COMMIT, ETag=etag)
        if found is None:
            return reply(to, 404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        reply(to, 200, json.dumps(found).encode(), Content_Type="application/json")

    return answer


def test_a_labelled_dataset_is_read_in_the_datas_own_order_of_classes_and_then_from_the_cache(hub, tmp_path):
    data = Datasets(name="owner/texts", revision=COMMIT, label="kind", calibration=4)
    assert data.served == {"text-classification"}
    with hub(dataset(FILES)):
        first = data.load(tmp_path).checked()
    # In alphabetical order negative would be the first.
    assert first.classes == ("positive", "negative")
    assert first.evaluation.texts == [f"test {n}" for n in range(6)]
    assert first.evaluation.targets.tolist() == [1, 0, 0, 1, 0, 0]
    assert first.evaluation.names[5] == "test row 5"
    assert (len(first.calibration), len(first.train)) == (4, 9)
    with hub(silence):
        again = data.load(tmp_path)
        assert seen == []
    assert again.evaluation.texts == first.evaluation.texts
    # Another commit is another dataset, whatever the cache holds of this one.
    with hub(lambda to: reply(to, 404)), pytest.raises(DataError, match=f"not there at the commit {'d' * 40}"):
        Datasets(name="owner/texts", revision="d" * 40, label="kind").load(tmp_path)


def test_pairs_of_a_dataset_become_a_matrix_as_those_of_a_file_do(hub, tmp_path):
    data = Datasets(name="owner/texts", revision=COMMIT, other="second", score="alike")
    assert data.served == {"sentence-similarity"}
    with hub(dataset(FILES)):
        loaded = data.load(tmp_path).checked()
    assert [loaded.evaluation.targets[2 * n, 2 * n + 1].item() for n in range(6)] == [n / 4 for n in range(6)]
    assert loaded.evaluation.units.tolist() == [n // 2 for n in range(12)]


def test_what_a_dataset_does_not_hold_is_refused_by_name(hub, tmp_path):
    with hub(dataset({**FILES, "test.jsonl": rows("test", 6, kind=-1)})):
        with pytest.raises(DataError, match="has no column 'label'; it has text, second, alike, kind"):
            Datasets(name="owner/texts", revision=COMMIT, label="label").load(tmp_path)
        with pytest.raises(DataError, match="owner/texts, test row 0: nothing under 'kind'"):
            Datasets(name="owner/texts", revision=COMMIT, label="kind").load(tmp_path)
        with pytest.raises(DataError, match="holds a float under 'alike'"):
            Datasets(name="owner/texts", revision=COMMIT, text="alike", label="kind").load(tmp_path)
    with pytest.raises(ValueError, match="or neither"):
        Datasets(name="owner/texts", revision=COMMIT, label="kind", other="second", score="alike")


def test_rows_that_are_evaluated_on_are_left_out_of_training_and_counted(hub, tmp_path):
    """Many public datasets repeat some of their test texts in training, and nobody here can mend them."""
    crossed = {"text": "own", "second": "test 3", "alike": 0.0, "kind": 0}
    train = rows("train", 9) + rows("test", 2) + json.dumps(crossed).encode() + b"\n"
    options = {"name": "owner/texts", "revision": COMMIT}

    def told(count: int) -> tuple[str, ...]:
        return (f"owner/texts: {count} of 12 rows of 'train' hold texts of 'test' too and are left out of training",)

    with hub(dataset({**FILES, "train.jsonl": train})):
        labelled = Datasets(**options, label="kind").load(tmp_path).checked()
    assert labelled.train.texts == [*(f"train {n}" for n in range(9)), "own"]
    assert (len(labelled.evaluation), labelled.notes) == (6, told(2))
    documents = Datasets(**options).load(tmp_path)
    assert (documents.train.texts, documents.notes) == (labelled.train.texts, told(2))
    # Of a pair the second text counts too.
    paired = Datasets(**options, other="second", score="alike").load(tmp_path).checked()
    assert not [text for text in paired.calibration.texts if text.startswith("test") or text == "own"]
    assert (len(paired.calibration), len(paired.evaluation), paired.notes) == (18, 12, told(3))
    with pytest.raises(DataError, match="6 of 6 rows of 'test' hold texts of 'test' too, and none is left to calib"):
        Datasets(**options, training="test", label="kind").load(tmp_path)


def test_a_dataset_whose_splits_share_no_text_has_nothing_to_tell(hub, tmp_path):
    with hub(dataset(FILES)):
        assert Datasets(name="owner/texts", revision=COMMIT, label="kind").load(tmp_path).notes == ()
