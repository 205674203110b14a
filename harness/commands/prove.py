"""`prove`: put faults into what specs gate, and see which of them the gate catches."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.destination import writable
from harness.errors import SpecError

if TYPE_CHECKING:
    from harness.mutants.base import Mutant
    from harness.spec.load import Case, SpecFile

    Pair = tuple[SpecFile, Case, list[Mutant]]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "prove",
        help="put faults into what specs gate, and see which the gate catches",
        description="Run the gate on mutants of specs that are green: artifacts, measurements and baselines that are "
        "wrong on purpose. Prints which were caught and by which budget. Exits 0 where every mutant that a spec claims "
        "was caught, 1 where one survived, 2 where a spec is not green, cannot be read or does not exist, or FILE "
        "cannot be written, and 11 where it could not be told, or no claimed mutant was tried.",
    )
    parser.add_argument(
        "paths", metavar="SPEC", nargs="*", type=Path, default=[Path("specs")],
        help="specs, and folders of specs; `specs` by default",
    )  # fmt: skip
    parser.add_argument("--mutants", metavar="NAME", nargs="+", help="try only these")
    parser.add_argument("--sample", metavar="N", type=_positive, help="try only so many pairs of a case and a mutant")
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="which pairs a sample holds; 0 by default")
    parser.add_argument(
        "--tier", choices=("ci", "nightly", "release", "all"),
        help="specs up to this tier, ci by default; a spec that is named is proven whatever its tier, unless this is "
        "given",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", type=writable, help="write every trial there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prove the specs, print as cases are done, and return the exit code."""
    from harness.errors import UnknownName
    from harness.mutants.base import mutants
    from harness.prove.progress import Live
    from harness.prove.prover import prove
    from harness.prove.table import lines, summary
    from harness.prove.trial import Document, exit_code, score
    from harness.run.cache import Cache, default_folder
    from harness.run.executor import LocalExecutor
    from harness.run.mutating import MutatingPipeline

    every = mutants()
    try:
        chosen = [_known(name, every) for name in arguments.mutants or every]
        pairs = list(_cases(arguments.paths, arguments.tier, chosen))
    except (UnknownName, SpecError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    if not pairs:
        print("no spec of this tier is there to be proven", file=sys.stderr)
        return 2
    if arguments.sample is not None:
        pairs = _sampled(pairs, arguments.sample, arguments.seed)
    live, proofs = Live(), []
    with tempfile.TemporaryDirectory(prefix="weighin-prove-") as scratch:
        pipeline = MutatingPipeline(LocalExecutor(), Cache(default_folder()), Path(scratch))
        try:
            for file, case, some in pairs:
                proof = prove(pipeline, file, case, some, live)
                proofs.append(proof)
                live.clear()
                print("\n".join(lines(proof)), flush=True)
        finally:
            live.clear()
            pipeline.close()
    print("\n".join(summary(proofs)))
    if arguments.json is not None:
        caught, claimed = score(proofs)
        document = Document(caught=caught, claimed=claimed, proofs=tuple(proofs))
        arguments.json.write_text(document.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return exit_code(proofs)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("a sample holds one pair or more")
    return number


def _known(name: str, every: dict[str, Mutant]) -> Mutant:
    from harness.errors import UnknownName

    if name not in every:
        raise UnknownName("mutant", name, every)
    return every[name]


def _cases(paths: Sequence[Path], tier: str | None, chosen: list[Mutant]) -> Iterator[Pair]:
    """Every case of the specs that are meant, each with all mutants.

    Raises:
        FileNotFoundError: there is no spec.
        SpecError: one is not well-formed, or has the id of another, or a link leads nowhere.
    """
    from harness.spec.files import below, lost_below, nothing_below, nowhere, twin_of, twofold
    from harness.spec.load import load
    from harness.spec.tiers import TIERS

    seen: set[Path] = set()
    for path in paths:
        found, _ = below(path)
        for link in lost_below(path):
            raise nowhere(link)
        if not found:
            raise FileNotFoundError(nothing_below(path))
        allowed = TIERS if tier == "all" else TIERS[: TIERS.index(tier or "ci") + 1]
        for one in found:
            if one.resolve() in seen:
                continue
            seen.add(one.resolve())
            if (other := twin_of(one)) is not None:
                raise twofold(one, other)
            file = load(one)
            for case in file.cases:
                if case.spec.tier in allowed or (tier is None and one == path):
                    yield file, case, chosen


def _sampled(pairs: list[Pair], size: int, seed: int) -> list[Pair]:
    """So many of the pairs of a case and a mutant, the same for the same seed; cases keep their order."""
    every = [(at, mutant) for at, (_, _, mutants) in enumerate(pairs) for mutant in mutants]
    drawn = sorted(random.Random(seed).sample(range(len(every)), min(size, len(every))))
    kept: dict[int, list[Mutant]] = {}
    for index in drawn:
        at, mutant = every[index]
        kept.setdefault(at, []).append(mutant)
    return [(pairs[at][0], pairs[at][1], mutants) for at, mutants in kept.items()]
