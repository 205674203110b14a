"""The JSON Schema (draft 2020-12) of ``report.json``, for whoever reads reports by program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.report.document import Report

PATH = Path(__file__).with_name("report.schema.json")
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def text() -> str:
    """The schema as its file holds it."""
    return json.dumps(report_schema(), indent=1, ensure_ascii=False) + "\n"


def report_schema() -> dict[str, Any]:
    """The schema of the document, of the version that this weighin writes."""
    raw = _untitled(Report.model_json_schema(mode="serialization"))
    return {
        "$schema": DRAFT,
        "$comment": "Written by `python -m harness schema --report`.",
        "title": f"weighin report, version {Report.model_fields['version'].default}",
        **raw,
    }


def _untitled(node: Any, *, names: bool = False) -> Any:
    """Without the titles that pydantic makes of names; below `properties` and `$defs`, keys are names."""
    if isinstance(node, list):
        return [_untitled(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _untitled(one, names=key in ("properties", "$defs") and not names)
        for key, one in node.items()
        if names or key != "title"
    }
