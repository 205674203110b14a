"""Whether a file is a baseline as far as the comparison reads it: one that was merged by hand may be none.

Less is asked than of one that is judged by, for a baseline of an earlier version is compared as it was written.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.audit.revision import AuditError


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Figure(_Part):
    metric: str | None = None
    value: float | None = None
    reference: float | None = None
    ratio: Annotated[list[float], Field(min_length=3, max_length=3)] | None = None
    reach: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    outcomes: dict[str, Any] | None = None


class _Environment(_Part):
    libraries: dict[str, Any] | None = None


class _Machine(_Part):
    environment: _Environment
    threads: int
    labels: dict[str, _Figure]


class _Change(_Part):
    reason: str
    values: dict[str, Any] = Field(default_factory=dict)


class _Case(_Part):
    portable: dict[str, _Figure] = Field(default_factory=dict)
    machines: dict[str, _Machine] = Field(default_factory=dict)
    history: list[_Change] = Field(default_factory=list)


class _Document(_Part):
    cases: dict[str, _Case] = Field(default_factory=dict)


def read(content: bytes | None, shown: str, way_out: str) -> dict[str, Any]:
    """A baseline as it was written.

    Args:
        content: of the file; None where there is none.
        shown: its name in messages.
        way_out: what to do where it is no baseline.

    Raises:
        AuditError: it is none.
    """
    try:
        _Document.model_validate_json(content or b"")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(str(part) for part in first["loc"])
        raise AuditError(f"{shown} cannot be read ({f'{at}: ' if at else ''}{first['msg']}); {way_out}") from error
    found: dict[str, Any] = json.loads(content or b"")
    return found
