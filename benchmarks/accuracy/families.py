"""Several budgets at once: how often a good model meets any wrong FAIL, with and without Holm's correction."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import numpy as np

from accuracy.cell import Cell, Plan, Plans, generator
from harness.statistics import holm_confidence, proportion_difference

BUDGETS = (1, 2, 4, 10)
DISCORDANCE, LIMIT = 0.1, 0.05
SHARED = {"independent": 0.0, "correlated": 0.7}


def families(sizes: tuple[int, ...], sets: int) -> Plans:
    """Cells for budgets of which each has its true drop at the limit: there a wrong FAIL is most likely."""
    for n in sizes:
        for count in BUDGETS:
            for name, shared in SHARED.items():
                if count > 1 or not shared:
                    figure = f"{count} budgets, {name}" if count > 1 else "1 budget"
                    blank = Cell("family", figure, n, DISCORDANCE, LIMIT)
                    yield Plan(blank, partial(family, blank, count, shared, sets))


def family(blank: Cell, count: int, shared: float, sets: int) -> Cell:
    """One cell: `false_fail_rate` is the share of sets with any wrong FAIL, `peer` the same without the correction."""
    random, n = generator(blank, "limit"), blank.n
    lost_rate, won_rate = (DISCORDANCE + LIMIT) / 2, (DISCORDANCE - LIMIT) / 2
    alone = together = 0
    for _ in range(sets):
        own, common = random.random((count, n), dtype=np.float32), random.random(n, dtype=np.float32)
        fate = np.where(random.random((count, n), dtype=np.float32) < shared, common, own) if shared else own
        lost, won = (fate < lost_rate).sum(axis=1).tolist(), (fate > 1 - won_rate).sum(axis=1).tolist()
        tests = [partial(breached, w, lo, n) for w, lo in zip(won, lost, strict=True)]
        if any(test(0.95) for test in tests):
            alone += 1
            level = holm_confidence(tests)
            together += any(test(level) for test in tests)
    return replace(blank, sets=sets, peer_sets=sets, false_fail_rate=together / sets, peer=alone / sets)


@cache
def breached(won: int, lost: int, n: int, confidence: float) -> bool:
    """Whether a breach of the limit is proven."""
    # The estimate lies above every lower bound.
    return lost - won > LIMIT * n and proportion_difference(won, lost, n, confidence).lower > LIMIT
