import hashlib
import json
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from harness.artifacts import packed_file
from harness.errors import MethodError, SourceError
from harness.forms import Form, Stop, route
from harness.methods.entropy_coding import EntropyCoding
from harness.methods.given import Given
from harness.methods.quantization.int8_static import Int8Static
from harness.methods.weight_sharing.weight_sharing import WeightSharing
from harness.runtimes.packed import FILE, Packed

pytestmark = [
    # OpenVINO calls deprecated parts of torch while it imports and converts.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:openvino"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]


def made_elsewhere(model: torch.nn.Module, example: tuple[torch.Tensor, ...], path: Path) -> Path:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        torch.jit.save(torch.jit.trace(model, example, check_trace=False), str(path))
    return path


def test_torchscript_is_gated_byte_for_byte(subject: Any, workshop: Any, weigh: Any, tmp_path: Path) -> None:
    source = subject()
    quantized = Int8Static().apply(subject(), workshop)
    path = made_elsewhere(quantized.model, source.example, tmp_path / "theirs.pt")
    found = Given(path="theirs.pt").apply(source, replace(workshop, root=tmp_path))
    weighed = weigh(found)
    assert found.form is Form.TORCHSCRIPT
    assert weighed.content == path.read_bytes()
    assert weighed.evidence.dtypes == {"int8": 61_470}
    batch = next(workshop.data.calibration.batches(8)).inputs
    with torch.no_grad():
        assert torch.equal(weighed.runner(batch)[0], quantized.model(*batch))


def test_exported_program_needs_trust(subject: Any, workshop: Any, weigh: Any, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="set `trust: true` if you know where it comes from"):
        Given(path="theirs.pt2")
    source = subject()
    inputs = next(workshop.data.calibration.batches(2)).inputs
    program = torch.export.export(source.model, inputs, dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "theirs.pt2")
    found = Given(path="theirs.pt2", trust=True).apply(source, replace(workshop, root=tmp_path))
    assert found.form is Form.EXPORTED
    with torch.no_grad():
        torch.testing.assert_close(weigh(found).runner(inputs)[0], source.model(*inputs))


def test_openvino_graph_is_read_with_its_weights(subject: Any, workshop: Any, tmp_path: Path) -> None:
    from harness.lowering import lower
    from harness.runtimes.openvino import OpenVino

    lowered = lower(subject(), Form.OPENVINO)
    OpenVino().save(lowered, tmp_path)
    method = Given(path="model.xml")
    found = method.apply(subject(), replace(workshop, root=tmp_path))
    assert found.form is Form.OPENVINO
    (tmp_path / "again").mkdir()
    OpenVino().save(found, tmp_path / "again")
    evidence = OpenVino().load(tmp_path / "again", 1).evidence()
    assert evidence.parameters == 61_706
    before = method.fingerprint(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"other weights")
    assert method.fingerprint(tmp_path) != before


def test_suffix_decides_the_form_whatever_the_source_gives() -> None:
    for path, form in (("a.pt", Form.TORCHSCRIPT), ("a.ts", Form.TORCHSCRIPT), ("b/c.xml", Form.OPENVINO)):
        stop = Stop("step 1 (given)", Given(path=path).transitions)
        runtime = Stop("runtime", {form: form})
        assert route(Form.EXPORTED, [stop, runtime]) == (Form.EXPORTED, form)
    with pytest.raises(ValidationError, match=r"'a\.onnx' ends in none of \.pt, \.ts, \.pt2, \.xml"):
        Given(path="a.onnx")


def test_fingerprint_is_that_of_the_bytes(tmp_path: Path) -> None:
    for name, content in (("one.pt", b"some bytes"), ("same.pt", b"some bytes"), ("other.pt", b"other bytes")):
        (tmp_path / name).write_bytes(content)
    one, same, other = (Given(path=name).fingerprint(tmp_path) for name in ("one.pt", "same.pt", "other.pt"))
    assert one == same != other
    with pytest.raises(SourceError, match="no file at"):
        Given(path="absent.pt").fingerprint(tmp_path)


def test_absent_and_broken_files_are_refused(subject: Any, workshop: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.pt").write_bytes(b"no program")
    (tmp_path / "broken.xml").write_bytes(b"<net")
    (tmp_path / "broken.pt2").write_bytes(b"no program")
    here = replace(workshop, root=tmp_path)
    for method, reason in (
        (Given(path="absent.pt"), r"given: no file at .*absent\.pt"),
        (Given(path="broken.pt"), r"given: .*broken\.pt does not load as a TorchScript program"),
        (Given(path="broken.xml"), "given: "),
        (Given(path="broken.pt2", trust=True), "given: .* is no exported program"),
    ):
        with pytest.raises(MethodError, match=reason):
            method.apply(subject(), here)


def test_pickle_in_torchscript_clothes_is_not_unpickled(subject: Any, workshop: Any, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"weights": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(MethodError, match="does not load as a TorchScript program"):
        Given(path="trap.pt").apply(subject(), replace(workshop, root=tmp_path))
    assert not (tmp_path / "sprung").exists()


def exported(folder: Path, *names: str) -> Path:
    """A manifest as `--export` writes it, for files that lie there."""
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    (folder / "manifest.json").write_text(json.dumps({"version": 1, "files": files, "spec": "a"}))
    return folder


def test_an_exported_folder_is_gated_by_its_manifest(subject: Any, workshop: Any, weigh: Any, tmp_path: Path) -> None:
    source, out = subject(), tmp_path / "out" / "v1.2"
    out.mkdir(parents=True)
    made_elsewhere(source.model, source.example, out / "model.pt")
    exported(out, "model.pt")
    (out / "another").mkdir()  # the export of another spec
    method, here = Given(path="out/v1.2/"), replace(workshop, root=tmp_path)
    found = method.apply(subject(), here)
    assert found.form is Form.TORCHSCRIPT
    assert weigh(found).content == (out / "model.pt").read_bytes()
    assert method.fingerprint(tmp_path) == Given(path="out/v1.2/model.pt").fingerprint(tmp_path)
    with (out / "model.pt").open("ab") as stream:
        stream.write(b" ")
    for use in (lambda: method.apply(subject(), here), lambda: method.fingerprint(tmp_path)):
        with pytest.raises(MethodError, match=r"given: .*model\.pt is not the file that was exported: its sha256"):
            use()


def test_a_folder_fits_the_runtime_or_is_refused(subject: Any, workshop: Any, tmp_path: Path) -> None:
    folder, openvino = Given(path="out"), Stop("the runtime openvino", {Form.OPENVINO: Form.OPENVINO})
    torch_runtime = Stop("the runtime torch", {form: form for form in (Form.TORCH, Form.TORCHSCRIPT)})
    packed = Stop("the runtime packed", {form: form for form in (Form.TORCH, Form.PACKED)})
    stop = Stop("step 1 (given)", folder.transitions)
    assert route(Form.TORCH, [stop, torch_runtime]) == (Form.TORCH, Form.TORCHSCRIPT)
    assert route(Form.TORCH, [stop, packed]) == (Form.TORCH, Form.PACKED)
    assert route(Form.TORCH, [stop, openvino]) == (Form.OPENVINO, Form.OPENVINO)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.xml").write_text("<net/>")
    exported(tmp_path / "out", "model.xml")
    with pytest.raises(
        MethodError, match=r"holds model\.xml, where the spec's runtime takes one TorchScript program or packed"
    ):
        folder.apply(subject(), replace(workshop, root=tmp_path))


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (None, "holds no manifest.json: name an artifact's file, or a folder that `--export` wrote"),
        ("{", "cannot be read"),
        ("[]", "is no manifest of version 1"),
        ('{"version": 2, "files": {"model.pt": "0"}}', "is no manifest of version 1"),
        ('{"version": 1, "files": {}}', "is no manifest of version 1"),
        ('{"version": 1, "files": {"../model.pt": "0"}}', "is no manifest of version 1"),
        ('{"version": 1, "files": {"model.pt": "0"}}', "model.pt is gone, which manifest.json names"),
    ],
)
def test_a_folder_without_a_sound_manifest_is_refused(
    subject: Any, workshop: Any, tmp_path: Path, manifest: str | None, reason: str
) -> None:
    (tmp_path / "out").mkdir()
    if manifest is not None:
        (tmp_path / "out" / "manifest.json").write_text(manifest)
    with pytest.raises(MethodError, match=re.escape(reason)):
        Given(path="out").apply(subject(), replace(workshop, root=tmp_path))


def test_a_packed_file_is_gated_byte_for_byte_and_a_damaged_one_is_refused(
    subject: Any, workshop: Any, tmp_path: Path
) -> None:
    source = subject()
    (tmp_path / "theirs").mkdir()
    Packed().save(
        EntropyCoding().apply(WeightSharing(bits=2).apply(subject(), workshop), workshop), tmp_path / "theirs"
    )
    path = (tmp_path / "theirs" / FILE).rename(tmp_path / "theirs.packed")
    there = replace(workshop, root=tmp_path)
    found = Given(path="theirs.packed").apply(source, there)
    assert (found.form, set(Given(path="theirs.packed").transitions.values())) == (Form.PACKED, {Form.PACKED})
    (tmp_path / "ours").mkdir()
    Packed().save(found, tmp_path / "ours")
    assert (tmp_path / "ours" / FILE).read_bytes() == path.read_bytes()
    # A good checksum over a graph that names a tensor of another shape: whoever makes a file can make both.
    graph, stored = packed_file.unpack(path.read_bytes())
    graph["nodes"][0][1].reverse()
    (tmp_path / "odd.packed").write_bytes(packed_file.pack(graph, stored, None))
    with pytest.raises(MethodError, match="given: the graph of the packed file does not run: "):
        Given(path="odd.packed").apply(source, there)
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(MethodError, match=r"given: the packed file is damaged: the checksum of the tensor '[\w.]+' "):
        Given(path="theirs.packed").apply(source, there)
