"""Whatever is thrown at it, the loader answers with a spec or with located problems."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.metrics.base import METRICS
from harness.spec.load import load, merge
from harness.spec.reader import parse
from harness.spec.schema import Spec
from harness.spec.semantics import suited_by
from harness.tasks.base import TASKS

quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)

WORDS = """
    version title task model data compress deploy measure budgets tier requires cases extends source method metric
    runtime zoo digits float16 int8-static magnitude-pruning sparsity finetune epochs size_mb top1 latency_ms max
    max_ratio max_drop torch openvino image-classification resnet20-digits nightly evidence _stem.yaml on 1e-3
"""
words = st.sampled_from(WORDS.split())
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words | st.text(max_size=8)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=4), inner, max_size=5),
    max_leaves=25,
)
# A spec that means something, some of whose branches a test then spoils.
SOUND = {
    "version": 1,
    "task": "image-classification",
    "model": {"source": "zoo", "name": "resnet20-digits"},
    "data": {"source": "digits"},
    "compress": [
        {"method": "magnitude-pruning", "sparsity": 0.5, "finetune": {"epochs": 1}},
        {"method": "int8-static"},
    ],
    "budgets": {"size_mb": {"max_ratio": 0.5}, "speed": {"metric": "latency_ms", "max_ratio": 0.9}},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "specs").mkdir()
    return tmp_path / "specs" / "x.yaml"


def answered(path: Path, text: str | bytes) -> bool:
    """Whether the loader answers with cases, or with problems that each have a place and one line of text."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        return len(load(path).cases) > 0
    except SpecError as error:
        problems = list(error.problems)
    located = all(one.file and one.line >= 1 and one.column >= 1 for one in problems)
    told = all(one.message and "\n" not in one.message for one in problems)
    ordered = problems == sorted(problems, key=lambda one: (one.file, one.line, one.column))
    return len(problems) > 0 and located and told and ordered


@quick
@given(text=st.text())
@example(text="\x85")
@example(text="a: !!float [")
@example(text="? ? ?")
@example(text="\ud800")
def test_arbitrary_text_is_loaded_or_refused(path, text):
    assert answered(path, text)


@quick
@given(data=st.binary())
def test_arbitrary_bytes_are_loaded_or_refused(path, data):
    assert answered(path, data)


@quick
@given(text=st.text(alphabet="ab:- []{}&*!?|>%@,'\"#\n\t0123.e+~<"))
@example(text="a: &a [*a]")
@example(text="!!set {a}")
@example(text="%TAG ! x\n")
def test_text_of_yaml_characters_is_loaded_or_refused(path, text):
    assert answered(path, text)


@quick
@given(tree=trees)
def test_any_yaml_tree_is_loaded_or_refused(path, tree):
    assert answered(path, yaml.safe_dump(tree, allow_unicode=True))


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, object]:
    """The sound spec with some branches replaced, added or taken away."""

    def spoil(value: object, depth: int) -> object:
        if draw(st.integers(0, 9)) == 0:
            return draw(trees)
        if isinstance(value, dict):
            spoiled = {key: spoil(inner, depth + 1) for key, inner in value.items() if draw(st.integers(0, 14))}
            if draw(st.integers(0, 9)) == 0:
                spoiled[draw(words)] = draw(trees)
            return spoiled
        return [spoil(inner, depth + 1) for inner in value] if isinstance(value, list) else value

    spec = spoil(SOUND, 0)
    return spec if isinstance(spec, dict) else {}


@quick
@given(spec=spoilt(), cases=st.dictionaries(words, spoilt() | scalars, max_size=3), stem=spoilt())
def test_spoilt_specs_cases_and_stems_are_loaded_or_refused(path, spec, cases, stem):
    (path.parent / "_stem.yaml").write_text(yaml.safe_dump(stem, allow_unicode=True))
    assert answered(path, yaml.safe_dump({**spec, "cases": cases, "extends": "_stem.yaml"}, allow_unicode=True))
    assert answered(path, yaml.safe_dump(spec, allow_unicode=True))


FOR_ANY_TASK = [name for name, metric in METRICS.items() if suited_by(metric) == list(TASKS)]
# From 10 on, a ratio is taken for a percentage.
ratios = st.floats(min_value=1e-6, max_value=9.9)


@st.composite
def sound(draw: st.DrawFn) -> dict[str, object]:
    """Specs that load."""
    budgets = {}
    for label in draw(st.lists(st.from_regex(r"[a-z][a-z0-9_.\-]{0,10}", fullmatch=True), min_size=1, unique=True)):
        metric = draw(st.sampled_from(FOR_ANY_TASK))
        bound = "max_ratio" if METRICS[metric].better == "lower" else "min_ratio"
        budgets[f"x{label}"] = {"metric": metric, bound: draw(ratios)}
    return SOUND | {
        "title": draw(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=20)),
        "measure": {
            "seed": draw(st.integers(0, 2**31)),
            "confidence": draw(st.floats(0.5, 1, exclude_min=True, exclude_max=True)),
        },
        "tier": draw(st.sampled_from(["ci", "nightly", "release"])),
        "budgets": budgets,
    }


@quick
@given(spec=sound())
def test_a_spec_survives_json_and_yaml_unchanged(path, spec):
    path.write_text(yaml.safe_dump(spec, allow_unicode=True))
    loaded = load(path).cases[0].spec
    assert Spec.model_validate_json(loaded.model_dump_json()) == loaded
    assert loaded.measure.confidence == spec["measure"]["confidence"]
    assert {label: budget.bounds() for label, budget in loaded.budgets.items()} == {
        label: {name: value for name, value in budget.items() if name != "metric"}
        for label, budget in spec["budgets"].items()
    }
    path.write_text(yaml.safe_dump(loaded.model_dump(mode="json", exclude_defaults=False), allow_unicode=True))
    assert load(path).cases[0].spec == loaded


maps = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=4), max_leaves=12
).filter(lambda value: isinstance(value, dict))


@quick
@given(base=maps, over=maps)
def test_merging_keeps_what_only_one_side_says_and_takes_the_nearer_of_both(base, over):
    merged = merge(base, over)
    assert merged.keys() == base.keys() | over.keys()
    for key, value in merged.items():
        if key not in over:
            assert value == base[key]
        elif isinstance(over[key], dict) and isinstance(base.get(key), dict):
            assert value == merge(base[key], over[key])
        else:
            assert value == over[key]


@quick
@given(one=maps, two=maps, three=maps)
def test_merging_nothing_changes_nothing_and_changes_no_operand(one, two, three):
    assert merge(one, {}) == one
    assert merge({}, one) == one
    assert merge(one, one) == one
    before = repr((one, two))
    merge(one, two)
    assert repr((one, two)) == before
    # Nearest wins however the layers are folded, where no plain value hides a mapping between them.
    assert merge(merge(one, two), merge(two, three)).keys() == one.keys() | two.keys() | three.keys()


@quick
@given(base=maps.filter(bool), data=st.data())
def test_null_takes_a_key_away(base, data):
    gone = data.draw(st.sampled_from(sorted(base)))
    assert merge(base, {gone: None}) == {key: value for key, value in base.items() if key != gone}


@quick
@given(tree=trees.filter(lambda tree: isinstance(tree, dict)))
def test_what_the_reader_accepts_it_reads_as_yaml_does(tree):
    text = yaml.safe_dump(tree, allow_unicode=True)
    try:
        value = parse(text, "x").value
    except SpecError:
        return
    plain = yaml.safe_load(text)
    assert value == plain or "-" in text  # dates are text to a spec
