"""What became of one mutant of one case, and of all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from harness.spec.files import with_case

EXIT_CAUGHT, EXIT_SURVIVED, EXIT_NOT_GREEN, EXIT_UNTOLD = 0, 1, 2, 11


class Fate(StrEnum):
    """What became of a mutant."""

    CAUGHT = "caught"
    SURVIVED = "survived"
    UNTOLD = "could not tell"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trial(_Model):
    """One mutant of one case."""

    mutant: str
    what: str
    fate: Fate
    claimed: bool = Field(description="whether the spec claims to catch it")
    owed: dict[str, str] = Field(default_factory=dict, description="label → why this budget owes the catch")
    missing: str = Field(default="", description="what would make a budget owe it, where none does")
    verdicts: dict[str, str] = Field(default_factory=dict, description="label → verdict, for every row that was judged")
    refused: bool = Field(
        default=False, description="caught by the artifact: it was refused before any budget was tried"
    )
    others: dict[str, str] = Field(
        default_factory=dict,
        description="label → verdict of the rows that turned and owed nothing; a mutant that only they caught survived",
    )
    sentence: str = Field(default="", description="what caught it, what let it through, or why nothing can be said")
    seconds: float = 0.0

    @property
    def by(self) -> dict[str, str]:
        """The rows that were not green."""
        return {label: verdict for label, verdict in self.verdicts.items() if verdict != "PASS"}


class Proof(_Model):
    """All mutants of one case that were tried; or why none was."""

    spec: str
    case: str = ""
    trials: tuple[Trial, ...] = ()
    refused: str = Field(default="", description="why the case is not green without a fault")
    not_here: str = Field(default="", description="what this machine lacks")
    untold: bool = Field(default=False, description="refused only for want of a verdict, not for a bad one")

    @property
    def name(self) -> str:
        """The spec, and in brackets the case."""
        return with_case(self.spec, self.case)

    def score(self) -> tuple[int, int]:
        """Claimed mutants that were caught, and claimed mutants of which that can be told."""
        return score([self])


def score(proofs: Sequence[Proof]) -> tuple[int, int]:
    """Claimed mutants that were caught, and claimed mutants of which that can be told."""
    claimed = [trial for proof in proofs for trial in proof.trials if trial.claimed and trial.fate is not Fate.UNTOLD]
    return sum(trial.fate is Fate.CAUGHT for trial in claimed), len(claimed)


def by_others(turned: Mapping[str, str], owed: Mapping[str, str]) -> str:
    """A clause on a mutant that nobody caught who owed it; empty where no other row turned either.

    Args:
        turned: label → verdict.
        owed: label → why it owes the catch.
    """
    if not turned:
        return ""
    return f"caught by others: {in_words(turned)}; {', '.join(owed) or 'no budget'} owed it"


def in_words(verdicts: Mapping[str, str]) -> str:
    """Rows as a list: ``size_mb FAIL, evidence INVALID``."""
    return ", ".join(f"{label} {verdict}" for label, verdict in verdicts.items())


def exit_code(proofs: Sequence[Proof]) -> int:
    """1 where a claimed mutant survived, 2 where a case was not green, 11 where that could not be told, else 0.

    Where no claimed mutant was tried, nothing was told.
    """
    fates = {trial.fate for proof in proofs for trial in proof.trials if trial.claimed}
    if Fate.SURVIVED in fates:
        return EXIT_SURVIVED
    if any(proof.refused and not proof.untold for proof in proofs):
        return EXIT_NOT_GREEN
    untold = Fate.UNTOLD in fates or any(proof.untold for proof in proofs)
    return EXIT_UNTOLD if untold or score(proofs)[1] == 0 else EXIT_CAUGHT


class Document(_Model):
    """What `--json` writes."""

    version: int = 1
    caught: int
    claimed: int
    proofs: tuple[Proof, ...]
