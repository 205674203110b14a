"""One class always wrong."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from harness.boxes import LABEL
from harness.mutants.arithmetic import answering, sampled
from harness.mutants.base import MUTANTS, Claim, Green, Mutant
from harness.run.result import Result
from harness.tasks.base import Answers


@MUTANTS.register
class WrongClass(Mutant):
    """The compressed model never names one class, as when a row of its last layer is lost.

    It is the class with the lowest number among the targets.
    """

    mutant: Literal["wrong-class"] = "wrong-class"
    what: ClassVar[str] = "the compressed model never names one class"
    answers_wrongly: ClassVar[bool] = True

    def answers(self, answers: Answers) -> Answers:
        """Strike the class from every ranking; those behind it move up, and the last place stays empty (−1).

        Of boxes, those of the class are gone.
        """
        if "boxes" in answers:
            named = answers["targets"][:, :, LABEL]
            return {**answers, "labels": np.where(answers["labels"] == named[named >= 0].min(), -1, answers["labels"])}
        if "ranked" not in answers:
            return answers
        ranked, lost = answers["ranked"], answers["targets"].min()
        kept = np.full_like(ranked, -1)
        for row, named in enumerate(ranked):
            left = named[named != lost]
            kept[row, : left.size] = left
        return {**answers, "ranked": kept}

    def claim(self, green: Green, mutated: Result) -> Claim:
        """An accuracy claims it where the loss is more than its budget or its baseline lets through."""
        return sampled(green, mutated, answering(green))
