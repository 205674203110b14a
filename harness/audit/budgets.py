"""Two states of one case of a spec: what the newer one allows that the older one did not. Pure, on merged YAML.

The values are compared as they were written, for a spec that an earlier version accepted need not be one to this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.audit import expected
from harness.audit.finding import Loosened, short
from harness.data.base import DATA, Data
from harness.metrics.base import BOUNDS, METRICS
from harness.spec.reader import Value
from harness.spec.schema import Measure
from harness.spec.tiers import TIERS

Body = Mapping[str, Value]
CEILINGS = ("max", "max_ratio", "max_drop", "max_rise", "reference_max")
FLOORS = tuple(name for name in BOUNDS if name not in CEILINGS)
# What decides which figures are compared with the bounds. `compress` does not: it is what is being judged.
_MEASURED = ("task", "model", "data", "deploy")
_DEFAULT: Body = {"deploy": {"runtime": "torch"}}
_SAMPLED = ("seed", "threads", "batch")


def loosened(old: Body, new: Body) -> Iterator[Loosened]:
    """Everything that got looser in one case, each with the reason that its spec records for it."""
    for change in _changes(old, new):
        yield Loosened("", change.what, change.old, change.new, "", change.label, change.reason or said(old, new))


def labels(old: Body, new: Body) -> dict[str, str]:
    """Each budget of a case that is still there, with what it is called now: its label, or the one in its place."""
    before, now = _budgets(old), _budgets(new)
    renamed = _renamed(before, now)
    return {
        **{label: label for label in now if label not in renamed.values()},
        **{label: renamed.get(label, label) for label in before if renamed.get(label, label) in now},
    }


def said(old: Body, new: Body) -> str | None:
    """The reason that stands in the newer state, where the older one did not have it already."""
    reason = new.get("because")
    return reason if isinstance(reason, str) and reason.strip() and reason != old.get("because") else None


def _changes(old: Body, new: Body) -> Iterator[Loosened]:
    before, now = _budgets(old), _budgets(new)
    renamed = _renamed(before, now)
    for label, budget in before.items():
        if renamed.get(label, label) in now:
            yield from _budget(label, budget, now[renamed.get(label, label)])
        else:
            yield Loosened("", "budget", _bounds(budget), None, label=label)
    for name in _MEASURED:
        yield from _differing(name, old.get(name, _DEFAULT.get(name)), new.get(name, _DEFAULT.get(name)))
    yield from _measure(_map(old.get("measure")), _map(new.get("measure")))
    if _tier(new) > _tier(old):
        yield Loosened("", "tier", TIERS[_tier(old)], TIERS[_tier(new)])
    required = [name for name in _list(new.get("requires")) if name not in _list(old.get("requires"))]
    if required:
        yield Loosened("", "requires", _list(old.get("requires")), _list(new.get("requires")))
    yield from expected.loosened(old, new)


def _budget(label: str, old: Body, new: Body) -> Iterator[Loosened]:
    reason = said(old, new)
    if old["metric"] != new["metric"]:
        yield Loosened("", "metric", old["metric"], new["metric"], label=label, reason=reason)
        return
    for name in (*BOUNDS, "regress"):
        was, now = (_tolerance(each) if name == "regress" else each.get(name) for each in (old, new))
        if looser(name, was, now):
            yield Loosened("", name, was, now, label=label, reason=reason)
    for name in sorted({*old, *new} - {*BOUNDS, "regress", "metric", "because"}):
        if old.get(name) != new.get(name):
            yield Loosened("", name, old.get(name), new.get(name), label=label, reason=reason)


def looser(name: str, old: Value, new: Value) -> bool:
    """Whether a bound allows more than it did."""
    if old is None or old == new:
        return False
    if not _number(old) or not _number(new):
        return True
    assert isinstance(old, (int, float))
    assert isinstance(new, (int, float))
    return new < old if name in FLOORS else new > old


def _number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _tolerance(budget: Body) -> Value:
    """What `regress` is where it is not given; None, which nothing loosens, for a metric that is not installed."""
    name, given = budget["metric"], budget.get("regress")
    return METRICS[name].tolerated(given) if isinstance(name, str) and name in METRICS else given


def _renamed(before: Mapping[str, Body], now: Mapping[str, Body]) -> dict[str, str]:
    """Labels that are gone, with a new label of the same metric; compared as one budget."""
    found: dict[str, str] = {}
    for label, budget in before.items():
        fresh = [one for one in now if one not in before and one not in found.values()]
        same = [one for one in fresh if now[one]["metric"] == budget["metric"]]
        if label not in now and same:
            # The one that loosens least.
            found[label] = min(same, key=lambda one: len(list(_budget(label, budget, now[one]))))
    return found


def _differing(name: str, old: Value, new: Value) -> Iterator[Loosened]:
    if not isinstance(old, dict) or not isinstance(new, dict) or old.get("source") != new.get("source"):
        if old != new:
            yield Loosened("", name, short(old), short(new))
        return
    unseen = _unseen(new.get("source")) if name.partition(".")[0] == "data" else frozenset[str]()
    for key in sorted({*old, *new} - unseen):
        was, now = old.get(key), new.get(key)
        if isinstance(was, dict) and isinstance(now, dict) and "source" in now:
            # A part within, such as the images that noise stands for.
            yield from _differing(f"{name}.{key}", was, now)
        elif was != now:
            yield Loosened("", f"{name}.{key}", was, now)


def _unseen(source: Value) -> frozenset[str]:
    """Options of data that the evaluation does not see; of data that is not installed those of all data."""
    if isinstance(source, str) and source in DATA:
        return DATA[source].unseen
    return Data.unseen


def _measure(old: Body, new: Body) -> Iterator[Loosened]:
    was, now = (each.get("confidence", Measure().confidence) for each in (old, new))
    if looser("min", was, now):
        yield Loosened("", "measure.confidence", was, now)
    for name in _SAMPLED:
        default = Measure.model_fields[name].default
        if old.get(name, default) != new.get(name, default):
            yield Loosened("", f"measure.{name}", old.get(name, default), new.get(name, default))


def _budgets(body: Body) -> dict[str, dict[str, Value]]:
    """Budgets by label, the metric named in each."""
    return {
        label: {"metric": label, **{key: value for key, value in budget.items() if value is not None}}
        for label, budget in _map(body.get("budgets")).items()
        if isinstance(budget, dict)
    }


def _bounds(budget: Body) -> Value:
    return short({name: budget[name] for name in BOUNDS if name in budget})


def _tier(body: Body) -> int:
    tier = body.get("tier", TIERS[0])
    return TIERS.index(tier) if tier in TIERS else 0


def _map(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}


def _list(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []
