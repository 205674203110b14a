"""The published schema of `report.json` takes what is written, null for infinity too, and nothing else."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from harness.judge.verdict import Match, Range, State, Verdict
from harness.report.document import Blocks, CaseRecord, Flips, Report
from harness.report.json_schema import report_schema
from harness.run.environment import environment

SCHEMA = report_schema()
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int}
ROW = Verdict(
    spec="a", label="top1", metric="top1", verdict=State.PASS, value=0.9, n=397, match=Match.EXACT, sentence="s",
    interval=Range(of="drop", estimate=0.01, lower=-math.inf, upper=0.02, confidence=0.95, method="score"),
    bound={"max_drop": 0.05}, found={"max_drop": State.PASS},
)  # fmt: skip
CASE = CaseRecord(
    spec="a", case="", title="t", task="image-classification", steps=("float16",), environment=environment(),
    kernels="x86", reference=None, compressed=None, contradictions=(), seconds={"compress": 1.5},
    flips={"top1": Flips(lost=("a.png",), won=(), lost_total=1, won_total=0)},
    blocks={"latency_ms": Blocks(reference=(1.0,), compressed=(0.5,), batch=1, load=0.0)},
)  # fmt: skip
REPORT = Report(weighin="0.1.0", created="2026-01-01T00:00:00Z", rows=(ROW,), cases=(CASE,))


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """What a validator says, for the keywords that the schema uses."""
    kinds = schema.get("type", [])
    if kinds and not any(typed(value, one) for one in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if "$ref" in schema and not fits(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]):
        return False
    if "anyOf" in schema and not any(fits(value, one) for one in schema["anyOf"]):
        return False
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        return False
    if isinstance(value, list):
        return all(fits(one, schema.get("items", {})) for one in value)
    if not isinstance(value, dict):
        return True
    known, further = schema.get("properties", {}), schema.get("additionalProperties", True)
    return set(schema.get("required", [])) <= value.keys() and all(
        fits(one, known[name]) if name in known else fits(one, further) if isinstance(further, dict) else further
        for name, one in value.items()
    )


def typed(value: Any, kind: str) -> bool:
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[kind])


def test_the_schema_names_its_version() -> None:
    assert SCHEMA["title"] == "weighin report, version 1"
    assert SCHEMA["properties"]["version"]["const"] == 1
    assert SCHEMA["properties"]["rows"]["items"] == {"$ref": "#/$defs/Verdict"}
    # A column of that name would be no title.
    assert "title" in SCHEMA["$defs"]["CaseRecord"]["properties"]


def test_what_is_written_fits_the_schema_and_comes_back() -> None:
    text = REPORT.model_dump_json()
    document = json.loads(text)
    assert document["rows"][0]["interval"]["lower"] is None
    assert fits(document, SCHEMA)
    assert Report.model_validate_json(text) == REPORT


@pytest.mark.parametrize(
    ("key", "value"), [("verdict", "GREEN"), ("n", "many"), ("verdicts", 1), ("interval", {"of": "drop"})]
)
def test_what_no_report_says_does_not_fit(key: str, value: object) -> None:
    document = json.loads(REPORT.model_dump_json())
    document["rows"][0][key] = value
    assert not fits(document, SCHEMA)
