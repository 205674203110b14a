"""A proof as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.prove.trial import Fate, Proof, Trial, by_others, in_words, score


def lines(proof: Proof) -> Iterator[str]:
    """One line a mutant, then the case's score."""
    yield proof.name
    if proof.refused:
        yield f"  not green without any fault, so nothing can be proven: {proof.refused}"
    elif proof.not_here:
        yield f"  not run here: {proof.not_here}"
    else:
        cells = [(one.mutant, ", ".join(one.owed) or ("every spec" if one.claimed else "–")) for one in proof.trials]
        rows = [(*cell, _fate(trial)) for cell, trial in zip(cells, proof.trials, strict=True)]
        yield from _columns([("mutant", "claimed by", ""), *rows])
        yield f"  {_score([proof])}"


def summary(proofs: Sequence[Proof]) -> Iterator[str]:
    """The score by mutant and in all, and what every survivor asks for."""
    trials = [trial for proof in proofs for trial in proof.trials]
    rows = []
    for name in dict.fromkeys(trial.mutant for trial in trials):
        own = [trial for trial in trials if trial.mutant == name]
        caught, claimed = score([Proof(spec="", trials=tuple(own))])
        others = sum(not trial.claimed for trial in own)
        rows.append((name, f"{caught} of {claimed}" if claimed else "–", str(others) if others else "–", own[0].what))
    if rows:
        yield "in all"
        yield from _columns([("mutant", "caught of claimed", "not claimed", ""), *rows])
    cases = sum(bool(proof.trials) for proof in proofs)
    nothing = ": nothing was proven" if score(proofs)[1] == 0 else ""
    yield f"  {_score(proofs)}; {cases} {'case' if cases == 1 else 'cases'}{nothing}"
    for proof in proofs:
        for trial in proof.trials:
            if trial.claimed and trial.fate is not Fate.CAUGHT:
                yield f"{trial.fate}: {proof.name}: {trial.mutant}: {trial.sentence}"


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _fate(trial: Trial) -> str:
    if trial.fate is Fate.CAUGHT:
        by = "caught by the artifact, which was refused" if trial.refused else "caught"
        return f"{by}: {in_words(trial.by)}"
    if trial.fate is Fate.UNTOLD:
        return f"could not tell: {trial.sentence}"
    if not trial.claimed:
        return f"survived; would claim it: {trial.missing}"
    return "; ".join(filter(None, ("SURVIVED", by_others(trial.others, trial.owed))))


def _score(proofs: Sequence[Proof]) -> str:
    caught, claimed = score(proofs)
    trials = [trial for proof in proofs for trial in proof.trials]
    others = [trial for trial in trials if not trial.claimed]
    untold = sum(trial.claimed and trial.fate is Fate.UNTOLD for trial in trials)
    # Rounded down: 100 % means all.
    share = f" ({100 * caught // claimed} %)" if claimed else ""
    parts = [f"{caught} of {claimed} claimed mutants caught{share}"]
    if untold:
        parts.append(f"{untold} claimed could not be told")
    if others:
        also = sum(trial.fate is Fate.CAUGHT for trial in others)
        parts.append(f"{len(others)} not claimed{f', {also} of them caught' if also else ''}")
    return "; ".join(parts)
