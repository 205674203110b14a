"""The editor schema accepts every spec that loads, and refuses what it can see to be wrong."""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.base import DATA
from harness.errors import SpecError
from harness.methods.base import METHODS
from harness.metrics.base import METRICS
from harness.runtimes.base import RUNTIMES
from harness.sources.base import SOURCES
from harness.spec.json_schema import DRAFT, editor_schema
from harness.spec.load import load

SPECS = Path(__file__).parents[3] / "specs"
SCHEMA = editor_schema()
TYPES = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "number": (int, float),
    "integer": int,
}  # fmt: skip


def faults(value, schema, at="") -> list[str]:
    """What a draft 2020-12 validator would say, for the keywords that the schema uses; no other is known."""
    found: list[str] = []
    for keyword, rule in schema.items():
        found += CHECKS[keyword](value, rule, schema, at)
    return found


def either(value, rule, at, wanted):
    passing = sum(not faults(value, one, at) for one in rule)
    return [] if wanted(passing) else [f"{at}: {passing} of {len(rule)} choices fit"]


def of_type(value, rule):
    numeric = rule in ("integer", "number")
    return isinstance(value, TYPES[rule]) and not (numeric and isinstance(value, bool))


def equal(one, other):
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def properties(value, rule, schema, at):
    if not isinstance(value, dict):
        return []
    return [fault for key, one in rule.items() if key in value for fault in faults(value[key], one, f"{at}.{key}")]


def further(value, rule, schema, at):
    if not isinstance(value, dict):
        return []
    others = [
        key
        for key in value
        if key not in schema.get("properties", {})
        and not any(re.search(pattern, key) for pattern in schema.get("patternProperties", {}))
    ]
    if rule is False:
        return [f"{at}: unknown key {key}" for key in others]
    return [fault for key in others for fault in faults(value[key], rule, f"{at}.{key}")]


def patterned(value, rule, schema, at):
    found = [
        (key, one)
        for pattern, one in rule.items()
        for key in (value if isinstance(value, dict) else ())
        if re.search(pattern, key)
    ]
    return [fault for key, one in found for fault in faults(value[key], one, f"{at}.{key}")]


def conditional(value, rule, schema, at):
    return faults(value, schema["else" if faults(value, rule, at) else "then"], at)


def limit(kept):
    def check(value, rule, schema, at):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return [f"{at}: {value} breaks {rule}"] if number and not kept(value, rule) else []

    return check


def sized(kind, kept):
    def check(value, rule, schema, at):
        return (
            [f"{at}: of size {len(value)}, not {rule}"]
            if isinstance(value, kind) and not kept(len(value), rule)
            else []
        )

    return check


def nothing(value, rule, schema, at):
    return []


CHECKS = {
    "$schema": nothing, "$comment": nothing, "$defs": nothing, "title": nothing, "description": nothing,
    "default": nothing, "then": nothing, "else": nothing,
    "if": conditional,
    "$ref": lambda value, rule, schema, at: faults(value, SCHEMA["$defs"][rule.removeprefix("#/$defs/")], at),
    "type": lambda value, rule, schema, at: [] if any(
        of_type(value, one) for one in ([rule] if isinstance(rule, str) else rule)) else [f"{at}: not {rule}"],
    "const": lambda value, rule, schema, at: [] if equal(value, rule) else [f"{at}: not {rule}"],
    "enum": lambda value, rule, schema, at: [] if any(equal(value, one) for one in rule) else [f"{at}: none of {rule}"],
    "not": lambda value, rule, schema, at: [] if faults(value, rule, at) else [f"{at}: is {rule}"],
    "allOf": lambda value, rule, schema, at: [fault for one in rule for fault in faults(value, one, at)],
    "anyOf": lambda value, rule, schema, at: either(value, rule, at, lambda passing: passing > 0),
    "oneOf": lambda value, rule, schema, at: either(value, rule, at, lambda passing: passing == 1),
    "properties": properties,
    "patternProperties": patterned,
    "additionalProperties": further,
    "propertyNames": lambda value, rule, schema, at: [
        fault for key in (value if isinstance(value, dict) else ()) for fault in faults(key, rule, f"{at}.{key}")],
    "required": lambda value, rule, schema, at: [
        f"{at}: lacks {key}" for key in rule if isinstance(value, dict) and key not in value],
    "items": lambda value, rule, schema, at: [
        fault for one in (value if isinstance(value, list) else ()) for fault in faults(one, rule, f"{at}[]")],
    # An annotation to most validators; what is refused is refused by the loader too.
    "format": nothing,
    "prefixItems": lambda value, rule, schema, at: [
        fault for one, each in zip(value if isinstance(value, list) else (), rule, strict=False)
        for fault in faults(one, each, f"{at}[]")],
    "pattern": lambda value, rule, schema, at: [] if not isinstance(value, str) or re.search(rule, value) else [at],
    "minimum": limit(lambda value, rule: value >= rule), "maximum": limit(lambda value, rule: value <= rule),
    "multipleOf": limit(lambda value, rule: value % rule == 0),
    "exclusiveMinimum": limit(lambda value, rule: value > rule),
    "exclusiveMaximum": limit(lambda value, rule: value < rule),
    "minItems": sized(list, lambda size, rule: size >= rule), "maxItems": sized(list, lambda size, rule: size <= rule),
    "minLength": sized(str, lambda size, rule: size >= rule), "maxLength": sized(str, lambda size, rule: size <= rule),
    "minProperties": sized(dict, lambda size, rule: size >= rule),
}  # fmt: skip

WHOLE = {
    "version": 1,
    "title": "any",
    "task": "image-classification",
    "model": {"source": "zoo", "name": "resnet20-digits"},
    "data": {"source": "digits", "calibration": 64},
    "compress": [
        {"method": "magnitude-pruning", "sparsity": 0.5, "finetune": {"epochs": 1}},
        {"method": "int8-static", "keep_float": ["fc"], "model_type": None},
    ],
    "deploy": {"runtime": "torch"},
    "measure": {"seed": 1, "memory_mb": None},
    "budgets": {
        "size_mb": {"max": 3.0, "min_ratio": 0.1, "max_ratio": 0.3},
        "top1": {"max_drop": 0.02, "reference_min": 0.9},
        "fast": {"metric": "latency_ms", "batch": 8, "max_ratio": 0.9, "max": None},
    },
    "tier": "nightly",
    "requires": ["avx2"],
    "expect_fail": [
        {"metric": "size_mb", "verdict": "FAIL", "bound": "max", "because": "x", "owner": "me", "until": "2026-12-31"}
    ],
}


def changed(path: str, value: object) -> dict:
    """The whole spec with one value set, or taken away where it is `...`."""
    spec = copy.deepcopy(WHOLE)
    *parents, last = (int(step) if step.isdigit() else step for step in path.split("."))
    at = spec
    for step in parents:
        at = at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return spec


def test_the_schema_is_of_its_draft_and_every_reference_leads_somewhere():
    assert SCHEMA["$schema"] == DRAFT
    for name in re.findall(r'"#/\$defs/([^"]+)"', json.dumps(SCHEMA)):
        assert name in SCHEMA["$defs"]
        # No space and nothing else that a pointer would have to escape.
        assert re.fullmatch(r"[\w.\-]+", name)


@pytest.mark.parametrize("registry", [SOURCES, DATA, METHODS, RUNTIMES, METRICS], ids=lambda one: one.family)
def test_every_registered_part_is_listed_with_each_of_its_options(registry):
    for name, part in registry.items():
        node = SCHEMA["$defs"][f"{registry.family}.{name}"]
        assert node["properties"][registry.key]["const"] == name
        assert node["additionalProperties"] is False
        lost = set(part.model_fields) - set(node["properties"])
        assert lost <= {"max_drop", "max_rise", "reference_min", "reference_max"}
        for option, one in node["properties"].items():
            assert one.get("description") or "$ref" in one, f"{name}.{option} says nothing of what it means"


@pytest.mark.parametrize("path", sorted(SPECS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_spec_of_this_repository_is_accepted(path):
    value = yaml.safe_load(path.read_text())
    if not path.name.startswith("_"):
        assert faults(value, SCHEMA) == []


def test_a_whole_spec_is_accepted(project):
    assert project.load(yaml.safe_dump(WHOLE))
    assert faults(WHOLE, SCHEMA) == []


REFUSED = [
    ("version", 2), ("version", "1"), ("version", True), ("version", ...), ("title", 3), ("task", "chess"),
    ("task", ...), ("model", ...), ("model", "zoo"), ("model", {"name": "resnet20-digits"}), ("model.source", "zooo"),
    ("model.name", "resnet"), ("model.name", ...), ("data.source", ...), ("data.calibraton", 3),
    ("data.calibration", 0),
    ("data.calibration", "64"), ("data.calibration", True), ("compress", []), ("compress", {"method": "float16"}),
    ("compress.0", "float16"), ("compress.0.method", "pruning"), ("compress.0.sparsity", 1.0),
    ("compress.0.sparsity", ...), ("compress.0.finetune.epoch", 1), ("compress.0.finetune.optimizer", "adam"),
    ("data", {"source": "noise", "images": {"source": "lee"}}),
        ("compress.1.keep_float", "fc"), ("deploy.runtime", "onnx"), ("deploy", "torch"), ("measure.confidence", 95),
    ("measure.threads", 0), ("budgets", {}), ("budgets", ...), ("budgets.size_mb", {}), ("budgets.size_mb", None),
    ("budgets.size_mb", {"reference_max": 3}), ("budgets.size_mb", {"regress": 0.1}), ("budgets.size_mb.max_drop", 0.1),
    ("budgets.size_mb.batch", 8), ("budgets.size_mb", {"min": 3}), ("budgets.top1.max_rise", 0.1),
    ("budgets.top1", {"max": 1}), ("budgets.fast.metric", ...), ("budgets.fast.metric", "latency"),
    ("budgets.evidence", {"metric": "size_mb", "max": 1}), ("budgets.spec", {"metric": "size_mb", "max": 1}),
    ("budgets.a b", {"metric": "size_mb", "max": 1}), ("budgets.size_mb.metric", "params_m"), ("tier", "weekly"),
    ("requires", ["gpu"]), ("requires", "cuda"), ("threads", 2),
    ("expect_fail", "size_mb"), ("expect_fail", {"metric": "size_mb"}), ("expect_fail.0.owner", ...),
    ("expect_fail.0.owner", " "), ("expect_fail.0.bound", "most"), ("expect_fail.0.verdict", "PASS"),
    ("expect_fail.0.until", 2026), ("expect_fail.0.reason", "y"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), REFUSED, ids=lambda one: str(one))
def test_what_loading_refuses_is_refused_in_the_editor_too(project, path, value):
    spec = changed(path, value)
    project.problems(yaml.safe_dump(spec))
    assert faults(spec, SCHEMA)


@pytest.mark.parametrize(
    "spec",
    [
        {"extends": "_stem.yaml"},
        {"version": 1, "extends": "_stem.yaml", "data": {"calibration": 32}, "budgets": {"size_mb": {"max": 1}}},
        {"extends": "_stem.yaml", "data": {"source": "mnist", "channels": None}, "title": None},
        {"extends": "_stem.yaml", "budgets": {"size_mb": None, "fast": {"batch": 4}, "top1": {"reference_min": 0.5}}},
        {**WHOLE, "cases": {"a": None, "b": {"tier": "release"}, "c": {"compress": [{"method": "float16"}]}}},
        {"version": 1, "cases": {"a": {key: value for key, value in WHOLE.items() if key != "version"}}},
    ],
)
def test_what_extends_or_has_cases_may_leave_out_what_another_says(spec):
    assert faults(spec, SCHEMA) == []


@pytest.mark.parametrize(
    "spec",
    [
        {"extends": 3},
        {"extends": "_stem.yaml", "titel": "x"},
        {"extends": "_stem.yaml", "data": {"calibraton": 32}},
        {"extends": "_stem.yaml", "compress": [{"sparsity": 0.5}]},
        {"extends": "_stem.yaml", "budgets": {"size_mb": {"max_drop": 1}}},
        {**WHOLE, "cases": {"a": {"version": 1}}},
        {**WHOLE, "cases": {"a": {"tier": "weekly"}}},
        {**WHOLE, "cases": {"a b": {}}},
        {**WHOLE, "cases": ["a"]},
    ],
)
def test_what_extends_or_has_cases_is_still_checked_key_by_key(spec):
    assert faults(spec, SCHEMA)


LEAVES = st.none() | st.booleans() | st.integers(-2, 2000) | st.floats(-1, 3, width=16) | st.sampled_from(
    ["digits", "mnist", "zoo", "lenet5-mnist", "float16", "bfloat16", "int8-static", "size_mb", "latency_ms",
     "openvino", "release", "torch", ""]
)  # fmt: skip
KEYS = st.sampled_from(
    ["max", "max_ratio", "min", "max_drop", "max_rise", "regress", "batch", "metric", "source", "method", "sparsity",
     "scope", "title", "tier", "threads", "calibration", "image_size", "epochs", "size_mb", "other", "runtime"]
)  # fmt: skip
VALUES = LEAVES | st.dictionaries(KEYS, LEAVES, max_size=3) | st.lists(LEAVES, max_size=2)


@st.composite
def mutated(draw: st.DrawFn) -> dict:
    """The whole spec with a few values replaced, added or taken away anywhere in it."""
    spec = copy.deepcopy(WHOLE)
    for _ in range(draw(st.integers(1, 3))):
        at = spec
        while isinstance(at, (dict, list)) and at:
            keys = sorted(at) if isinstance(at, dict) else range(len(at))
            key = draw(st.sampled_from(keys))
            if not isinstance(at[key], (dict, list)) or draw(st.integers(0, 3)) == 0:
                action = draw(st.sampled_from(["set", "delete", "add"]))
                if action == "set":
                    at[key] = draw(VALUES)
                elif action == "delete":
                    del at[key]
                elif isinstance(at, dict):
                    at[draw(KEYS)] = draw(VALUES)
                break
            at = at[key]
    return spec


def suggested(value, schema, seen=frozenset()) -> set[str]:
    """Names that an editor offers at a value: what the schemas that apply to it list, whether they fit or not."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        # A model may hold a model.
        return (
            set()
            if (name, value is None) in seen
            else suggested(value, SCHEMA["$defs"][name], seen | {(name, value is None)})
        )
    found = {str(one) for one in (*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ()))}
    found |= set(schema.get("properties", {}))
    for key, one in schema.get("properties", {}).items():
        found |= suggested(value.get(key) if isinstance(value, dict) else None, one, seen)
    for each in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(each, ()):
            found |= suggested(value, one, seen)
    if "if" in schema:
        found |= suggested(value, schema["if"], seen)
        found |= suggested(value, schema["else" if faults(value, schema["if"]) else "then"], seen)
    if "items" in schema:
        found |= suggested(None, schema["items"], seen)
    if isinstance(schema.get("additionalProperties"), dict):
        found |= suggested(None, schema["additionalProperties"], seen)
    return found


FAULTS = {name for family in (METHODS, METRICS) for name in family if name not in family.offered()}


def test_a_fault_is_accepted_where_it_is_written_and_suggested_nowhere():
    assert {"shuffled-weights", "stray-values", "regrown-zeros", "dropout-left-on", "fault_nan"} <= FAULTS
    steps = [{"method": "shuffled-weights", "layer": "fc"}, {"method": "stray-values", "count": 3}]
    broken = {**WHOLE, "compress": steps, "budgets": {"fault_nan": {"max": 1}, "x": {"metric": "fault_nan", "max": 1}}}
    assert faults(broken, SCHEMA) == []
    assert faults({**broken, "compress": [{"method": "shuffled-weights", "count": 3}]}, SCHEMA)
    assert faults({**broken, "budgets": {"fault_nan": {"max_drop": 1}}}, SCHEMA)
    assert faults({"extends": "_stem.yaml", "budgets": {"fault_nan": {"regress": 1}, "top1": None}}, SCHEMA) == []
    for spec in (WHOLE, {"extends": "_stem.yaml"}):
        offered = suggested(spec, SCHEMA)
        assert {"float16", "size_mb", "latency_ms", "resnet20-digits"} <= offered
        assert not offered & FAULTS


def keywords(schema) -> set[str]:
    """Every keyword of a schema and of those within it."""
    if not isinstance(schema, dict):
        return set()
    named = [each for key in ("properties", "patternProperties", "$defs") for each in schema.get(key, {}).values()]
    listed = [each for key in ("allOf", "anyOf", "oneOf", "prefixItems") for each in schema.get(key, ())]
    inner = [schema.get(key) for key in ("items", "not", "if", "then", "else", "additionalProperties", "propertyNames")]
    return set(schema).union(*map(keywords, (*named, *listed, *inner)))


def test_no_keyword_of_the_schema_goes_unchecked_here():
    assert {"multipleOf", "prefixItems", "minProperties"} <= keywords(SCHEMA)
    assert keywords(SCHEMA) - set(CHECKS) == set()


@settings(deadline=None, max_examples=250)
@given(spec=mutated(), whole=st.booleans())
def test_what_loads_is_accepted(tmp_path_factory, spec, whole):
    root = tmp_path_factory.getbasetemp() / "editor" / "specs"
    root.mkdir(parents=True, exist_ok=True)
    path = root / "x.yaml"
    if not whole:
        # As a case of a file that says nothing itself, and as a file that extends one that says everything.
        (root / "_stem.yaml").write_text(yaml.safe_dump(WHOLE))
        spec = {**spec, "extends": "_stem.yaml"}
    path.write_text(yaml.safe_dump(spec))
    try:
        load(path)
    except SpecError:
        return
    assert faults(spec, SCHEMA) == []
