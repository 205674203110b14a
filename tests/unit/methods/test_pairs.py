"""Every ordered pair of methods, over what they declare: it composes on some runtime, or is refused with the reason."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import annotated_types
import pytest
from pydantic.fields import FieldInfo

from harness.data.digits import Digits
from harness.forms import LOWERINGS, Form, Returned, choices
from harness.methods.base import METHODS, Method, Trait
from harness.metrics.base import METRICS
from harness.runtimes.base import RUNTIMES
from harness.sources.zoo import Zoo
from harness.spec.schema import Spec
from harness.spec.semantics import faults

# What no type tells: paths, and methods of which one of several options has to be given.
GIVEN: dict[str, list[dict[str, Any]]] = {
    "given": [{"path": "x.pt"}, {"path": "folder"}, {"path": "x.xml"}, {"path": "x.pt2", "trust": True}],
    "svd": [{"energy": 0.9}],
    "tucker": [{"energy": 0.9}],
    "cp": [{"energy": 0.9}],
    "layer-dropping": [{"count": 1}],
    "optimal-brain-surgeon": [{"sparsity": 0.5}, {"n": 2, "m": 4}],
    "wanda": [{"sparsity": 0.5}, {"n": 2, "m": 4}],
    "distillation": [{}, {"student": Zoo(name="lenet5-digits")}],
    "lora": [{}, {"merge": False}],
    "weight-only": [{}, {"bits": 4, "gptq": True}],
    "embedding-quantization": [{}, {"fit": "outputs"}],
}


def middle(field: FieldInfo) -> float | int:
    """A number that a required option's bounds allow."""
    low, high = 0.0, 1.0
    for one in field.metadata:
        if isinstance(one, annotated_types.Gt | annotated_types.Ge):
            low = float(getattr(one, "gt", getattr(one, "ge", 0)))
        if isinstance(one, annotated_types.Lt | annotated_types.Le):
            high = float(getattr(one, "lt", getattr(one, "le", 1)))
    whole = field.annotation is int
    return max(int(low) + 1, 1) if whole else (low + max(high, low + 1e-3)) / 2


def samples() -> list[Method]:
    """Each registered method, with its required options filled in."""
    made = []
    for name, method in METHODS.items():
        for options in GIVEN.get(name, [{}]):
            needed = {
                key: middle(field)
                for key, field in method.model_fields.items()
                if field.is_required() and key not in options
            }
            made.append(method(**needed, **options))
    return made


SAMPLES = samples()
PAIRS = list(itertools.product(SAMPLES, repeat=2))


def refusals(first: Method, second: Method) -> dict[str, list[str]]:
    """Runtime → why a spec of these two steps is refused there; nothing where it is not."""
    found = {}
    for name in RUNTIMES:
        spec = Spec(
            version=1,
            task="image-classification",
            model=Zoo(name="lenet5-digits"),
            data=Digits(),
            compress=(first, second),
            deploy=RUNTIMES[name](runtime=name),
            budgets={"size_mb": METRICS["size_mb"](metric="size_mb", max_ratio=0.5)},
        )
        found[name] = [fault.message for fault in faults(spec, Path())]
    return found


def told(method: Method) -> str:
    return " ".join([method.method, *(str(value) for value in method.model_dump(exclude_defaults=True).values())])[:60]


@pytest.mark.parametrize("first", SAMPLES, ids=told)
def test_a_pair_composes_or_is_refused_with_the_reason(first: Method) -> None:
    for second in SAMPLES:
        found = refusals(first, second)
        lost = first.leaves & second.undoes
        for runtime, messages in found.items():
            if lost:
                assert any(
                    "(" + second.method + ") undoes" in one and f"({first.method})" in one for one in messages
                ), runtime
            for message in messages:
                # Which step cannot be taken, what it takes or gives, and what stands in its way.
                assert f"({first.method})" in message or f"({second.method})" in message or runtime in message
                assert " takes " in message or " undoes " in message
            # Refused exactly where no road through the forms leads to the runtime, or work would be lost on it.
            saved = {form: form for form in RUNTIMES[runtime].saves}
            road = onward(onward(onward({Form.TORCH}, first.transitions), second.transitions), saved)
            assert (not messages) == bool(road and onward({Form.TORCH}, saved) and not lost)


def onward(forms: set[Form], stop: Mapping[Form, Returned]) -> set[Form]:
    """The forms that a stop gives of these, each as it is or lowered once."""
    entries = {entry for form in forms for entry in (form, *LOWERINGS.get(form, ())) if entry in stop}
    return {leaving for entry in entries for leaving in choices(stop[entry])}


def verdict(first: str, second: str, *runtimes: str) -> str:
    """What becomes of a pair on these runtimes: composes, or the first reason why not."""
    one, other = (next(sample for sample in SAMPLES if sample.method == name) for name in (first, second))
    reasons = refusals(one, other)
    return next((reasons[name][0] for name in runtimes if reasons[name]), "composes")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("channel-pruning", "int8-static", "composes"),
        ("channel-pruning", "distillation", "composes"),
        ("magnitude-pruning", "distillation", "composes"),
        ("distillation", "int8-static", "composes"),
        ("svd", "lora", "composes"),
        ("lora", "int8-static", "composes"),
        ("magnitude-pruning", "lora", "composes"),
        ("tucker", "svd", "composes"),
        ("svd", "magnitude-pruning", "composes"),
        ("magnitude-pruning", "qat", "composes"),
        ("svd", "qlora", "composes"),
        ("network-slimming", "int8-static", "composes"),
        ("head-pruning", "optimal-brain-surgeon", "composes"),
        (
            "magnitude-pruning",
            "optimal-brain-surgeon",
            "undoes the zeros that were made by step 1",
        ),
        ("channel-pruning", "lottery-ticket", "step 2 (lottery-ticket) undoes all that was done by step 1"),
        ("magnitude-pruning", "svd", "step 2 (svd) undoes the zeros that were made by step 1 (magnitude-pruning)"),
        ("int8-static", "svd", "step 2 (svd) takes torch module, but step 1 (int8-static) gives a quantized torch"),
        ("int8-static", "lora", "step 2 (lora) takes torch module, but step 1 (int8-static) gives a quantized torch"),
        (
            "qlora",
            "int8-static",
            "step 2 (int8-static) takes torch module, but step 1 (qlora) gives a quantized torch module",
        ),
        ("gptq", "embedding-quantization", "composes"),
        ("bnb-nf4", "gptq", "composes"),
        ("wanda", "lora", "composes"),
        ("wanda", "gptq", "step 2 (gptq) undoes the zeros that were made by step 1 (wanda)"),
        (
            "gptq",
            "lora",
            "step 2 (lora) takes torch module, but step 1 (gptq) gives a weight-quantized torch module",
        ),
        (
            "weight-sharing",
            "int8-static",
            "step 2 (int8-static) undoes the sharing of values that was done by step 1 (weight-sharing)",
        ),
        (
            "weight-sharing",
            "int8-dynamic",
            "step 2 (int8-dynamic) undoes the sharing of values that was done by step 1 (weight-sharing)",
        ),
        ("qat", "qat", "step 2 (qat) takes torch module, but step 1 (qat) gives a quantized torch module"),
        ("float16", "given", "step 2 (given) undoes all that was done by step 1 (float16)"),
    ],
)
def test_pairs_that_the_papers_know(first: str, second: str, expected: str) -> None:
    assert expected in verdict(first, second, "torch")


def test_a_student_of_its_own_comes_first() -> None:
    student = next(one for one in SAMPLES if one.method == "distillation" and one.undoes == frozenset(Trait))
    pruning = next(one for one in SAMPLES if one.method == "magnitude-pruning")
    assert "(distillation) undoes all that was done by" in refusals(pruning, student)["torch"][0]
    assert refusals(student, pruning)["torch"] == []


def test_corrections_are_kept_beside_integers() -> None:
    beside = next(one for one in SAMPLES if one.method == "lora" and not one.model_dump()["merge"])
    assert refusals(next(one for one in SAMPLES if one.method == "gptq"), beside)["torch"] == []
    assert refusals(beside, next(one for one in SAMPLES if one.method == "magnitude-pruning"))["torch"] == []


def test_shared_values_stay_shared_under_one_scale_a_layer() -> None:
    sharing, dynamic = (
        next(one for one in SAMPLES if one.method == name) for name in ("weight-sharing", "int8-dynamic")
    )
    assert refusals(sharing, dynamic.model_copy(update={"per_channel": False}))["torch"] == []


ZEROS = "the zeros that were made"
TIED = "the zeros in output layers tied to an embedding that were made"


@pytest.mark.parametrize(
    ("first", "second", "options", "runtime", "lost"),
    [
        ("magnitude-pruning", "int8-layerwise", {}, "openvino", ZEROS),
        ("wanda", "int8-layerwise", {}, "openvino", ZEROS),
        ("wanda", "weight-only", {"gptq": True}, "openvino", ZEROS),
        ("magnitude-pruning", "weight-only", {"gptq": False}, "openvino", None),
        ("magnitude-pruning", "int8-static", {}, "openvino", None),
        ("n-m-sparsity", "embedding-quantization", {"fit": "outputs"}, "torch", TIED),
        ("n-m-sparsity", "embedding-quantization", {"fit": "weights"}, "torch", None),
        # It prunes no output layer that is tied to an embedding.
        ("wanda", "embedding-quantization", {"fit": "outputs"}, "torch", None),
    ],
)
def test_what_is_fitted_to_answers_fills_zeros(
    first: str, second: str, options: dict[str, Any], runtime: str, lost: str | None
) -> None:
    one = next(sample for sample in SAMPLES if sample.method == first)
    other = next(
        sample
        for sample in SAMPLES
        if sample.method == second and all(getattr(sample, name) == value for name, value in options.items())
    )
    expected = f"step 2 ({second}) undoes {lost} by step 1 ({first}): put it before, or leave one out"
    assert refusals(one, other)[runtime] == ([expected] if lost else [])


def test_what_keep_may_leave_alone_is_for_the_evidence_to_tell() -> None:
    """`keep: [lm_head]` prunes no tied layer; the other order is impossible."""
    rounded = [sample for sample in SAMPLES if sample.method == "embedding-quantization"]
    tied = next(sample for sample in rounded if getattr(sample, "fit", "") == "outputs")
    for sample in SAMPLES:
        if Trait.TIED_ZEROS in sample.leaves:
            kept = sample.model_copy(update={"keep": ("head",)})
            assert kept.leaves == sample.leaves - {Trait.TIED_ZEROS}
            assert refusals(kept, tied)["torch"] == []


def test_every_method_is_in_some_pair_that_composes() -> None:
    """A method that goes with no other, before or after, has wrong forms."""
    alone = set(METHODS)
    for first, second in PAIRS:
        if first is not second and any(not messages for messages in refusals(first, second).values()):
            alone -= {first.method, second.method}
    assert not alone


def test_the_sample_reaches_every_method_and_reads_no_file() -> None:
    assert {sample.method for sample in SAMPLES} == set(METHODS)
    assert not Path("x.pt").exists()
