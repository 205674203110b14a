import subprocess
import sys
from html.parser import HTMLParser

import pytest

from harness.evidence import Evidence, TensorFact
from harness.judge.verdict import Range, State, Verdict
from harness.measurement import Blocks
from harness.report.document import MAX_FLIPS, CaseRecord, Flips, Report
from harness.report.html import grouped, headline, machines, render, write
from harness.run.environment import Environment
from harness.spec.expectation import ExpectFail

HOSTILE = '<script>alert("x")</script>'
MACHINE = Environment(
    cpu="a processor",
    cores=2,
    instruction_sets=("avx2",),
    system="Linux x86_64",
    python="3.11",
    libraries={"torch": "2"},
)


def row(spec: str, label: str, verdict: State, **more: object) -> Verdict:
    given = {"metric": label, "sentence": f"{label}: words about {spec} → {verdict}", **more}
    return Verdict(spec=spec, label=label, verdict=verdict, **given)


def case(spec: str, **more: object) -> CaseRecord:
    given = {
        "case": "", "title": f"title of {spec}", "task": "image-classification", "steps": ("int8-static",),
        "environment": MACHINE, "kernels": "x86", "reference": None, "compressed": None, "contradictions": (),
        "seconds": {},
    }  # fmt: skip
    return CaseRecord(spec=spec, **{**given, **more})


def report(rows: list[Verdict], cases: list[CaseRecord], **more: object) -> Report:
    return Report(weighin="1.2.3", created="2026-01-02T03:04:05+00:00", rows=rows, cases=cases, **more)


def evidence(dtype: str, operators: dict[str, int]) -> Evidence:
    return Evidence(
        operators=operators,
        tensors=(
            TensorFact(name="w", dtype=dtype, shape=(1000, 10), zeros=2500),
            TensorFact(name="b", dtype="float32", shape=(10,), zeros=0),
        ),
        kernels={"i8": 3} if dtype == "int8" else {},
    )


FULL = report(
    [
        row("good", "size_mb", State.PASS, value=1.0, reference=4.0, unit="MB", bound={"max_ratio": 0.3},
            interval=Range(of="ratio", estimate=0.25, lower=0.25, upper=0.25, confidence=0.95, method="exact")),
        row("bad", "top1", State.FAIL, value=0.9, reference=0.97, bound={"max_drop": 0.02}, n=800,
            interval=Range(of="drop", estimate=0.07, lower=0.05, upper=0.09, confidence=0.95, method="exact")),
        row("bad", "latency_ms", State.INCONCLUSIVE, value=3.0, reference=4.0, details={"p95_reference": 5.5}),
        row("bad", "agreement", State.PASS),
        row("odd", "spec", State.INVALID),
        row("far", "latency_ms", State.NOT_RUN),
    ],
    [
        case("good", seconds={"compress": 0.0, "measure": 2.25}),
        case(
            "bad", reference=evidence("float32", {"conv": 2, "relu": 2}),
            compressed=evidence("int8", {"qconv": 2, "relu": 2}), contradictions=("int8-static: nothing happened",),
            flips={"top1": Flips(lost=("photo 1", HOSTILE), won=("photo 7",), lost_total=2, won_total=1,
                                 lost_means="float right, compressed wrong",
                                 won_means="float wrong, compressed right"),
                   "agreement": Flips(lost=tuple(f"photo {index}" for index in range(MAX_FLIPS)), won=(),
                                      lost_total=1234, won_total=0)},
            blocks={"latency_ms": Blocks(reference=(4.0, 4.1), compressed=(3.0, 3.1), batch=1, load=0.0)},
        ),
        case("far", log=f"Traceback {HOSTILE}"),
    ],
)  # fmt: skip


class Page(HTMLParser):
    """What a page holds; complains about tags that do not match."""

    VOID = frozenset({"meta", "input", "line", "rect", "circle", "path", "br"})

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.texts = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append((tag, given))
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given[name] for name in ("href", "src", "action", "data") if name in given]
        assert not [name for name in given if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def count(self, tag: str, name: str) -> int:
        return sum(one == tag and name in given.get("class", "").split() for one, given in self.tags)


def test_the_page_is_whole_and_needs_nothing_else():
    text = render(FULL)
    page = Page(text)
    assert text.startswith("<!doctype html>")
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text
    assert "@import" not in text
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "img", "iframe")]


def test_every_check_is_a_row_with_its_verdict_figures_and_words():
    page = Page(render(FULL))
    assert [page.count("tr", state) for state in ("pass", "fail", "inconclusive", "invalid", "not-run")] == [
        2,
        1,
        1,
        1,
        1,
    ]
    assert page.count("tr", "row") == 6
    assert "1.000 MB" in page.text
    assert "4.000 MB" in page.text
    for spec in ("good", "bad", "odd", "far"):
        assert f"words about {spec}" in page.text
    assert "→" not in page.text
    # One drawing each for the size and the accuracy, and the one that explains them.
    assert page.count("svg", "bar") == 3
    # The blocks of the one latency budget, and the ratios of its pairs.
    assert page.count("svg", "strip") == 2


def test_what_stands_behind_a_case_is_shown():
    text = Page(render(FULL)).text
    for shown in (
        "title of bad", "compressed by int8-static", "kernels: x86", "compress from the cache", "measure 2.2 s",
        "int8-static: nothing happened", "2 lost: float right, compressed wrong",
        "1 won: float wrong, compressed right",
        f"1,234 answered differently from float {MAX_FLIPS} of 1,234 listed",
        "int8 – 10,000", "float32 10,000 –", "qconv – 2",
        "zeros in weight matrices 25.0% 25.0%", "executed as: i8 3", "latency_ms: p95 of float 5.500",
        "a processor, 2 cores (avx2)", "2026-01-02 03:04:05 UTC", "weighin 1.2.3",
    ):  # fmt: skip
        assert shown in text


@pytest.mark.parametrize(
    ("metric", "told"), [("kid", "1 lost: worse than float"), ("psnr", "1 answered differently from float")]
)
def test_right_and_wrong_are_not_spoken_of_where_no_answer_is_either(metric, told):
    flips = Flips(lost=("a",), won=(), lost_total=1, won_total=0, lost_means="worse than float")
    text = Page(render(report([row("s", metric, State.PASS)], [case("s", flips={metric: flips})]))).text
    assert told in text
    assert "float right" not in text


def test_every_table_is_linked_whether_samples_are_listed_or_not():
    """Nothing changed for recall, and of pairs that are correlated none is called lost."""
    flips = {
        "top1": Flips(lost=("a",), won=(), lost_total=1, won_total=0),
        "recall": Flips(lost=(), won=(), lost_total=0, won_total=0),
    }
    labels = ("top1", "recall", "pearson", "a b/c")
    behind = case("s", flips=flips, tables={label: f"outcomes/s/{label}.csv" for label in labels})
    page = Page(render(report([row("s", "top1", State.PASS)], [behind])))
    assert [link for link in page.links if link.startswith("outcomes/")] == [
        "outcomes/s/top1.csv", "outcomes/s/recall.csv", "outcomes/s/pearson.csv", "outcomes/s/a%20b/c.csv",
    ]  # fmt: skip
    assert "all samples: recall , pearson , a b/c" in page.text
    assert "all samples:" not in Page(render(FULL)).text


@pytest.mark.parametrize("field", ["title", "task", "kernels", "log"])
def test_text_from_outside_stays_text(field):
    page = Page(render(report([row("s", "x", State.PASS)], [case("s", **{field: HOSTILE})])))
    assert HOSTILE in page.text
    assert not [tag for tag, _ in page.tags if tag == "script"]


def test_names_sentences_and_labels_stay_text_too():
    hostile = report(
        [row(HOSTILE, HOSTILE, State.FAIL, case=HOSTILE, sentence=HOSTILE, unit=HOSTILE, value=1.0)],
        [case(HOSTILE, case=HOSTILE, steps=(HOSTILE,), contradictions=(HOSTILE,), seconds={HOSTILE: 1.0},
              compressed=evidence(HOSTILE, {HOSTILE: 1}),
              flips={HOSTILE: Flips(lost=(HOSTILE,), won=(), lost_total=1, won_total=0)},
              blocks={HOSTILE: Blocks(reference=(1.0,), compressed=(1.0,), batch=1, load=0.0)})],
        orphaned_baselines=(HOSTILE,),
    )  # fmt: skip
    text = render(hostile)
    assert HOSTILE not in text
    Page(text)


def test_the_filter_offers_the_verdicts_that_occur():
    page = Page(render(FULL))
    offered = [given["id"] for tag, given in page.tags if tag == "input"]
    assert offered == ["show-all", "show-fail", "show-invalid", "show-inconclusive", "show-not-run", "show-pass"]
    assert "show-fail" not in Page(render(report([row("s", "x", State.PASS)], [case("s")]))).ids
    style = render(FULL)
    assert all(f"#{name}:checked" in style for name in offered if name != "show-all")


def test_the_worst_case_comes_first_and_equals_keep_the_order_of_the_run():
    assert [(group.name, group.worst) for group in grouped(FULL)] == [
        ("bad", State.FAIL),
        ("odd", State.INVALID),
        ("far", State.NOT_RUN),
        ("good", State.PASS),
    ]
    two = report([row("b", "x", State.PASS), row("a", "x", State.PASS, case="w4")], [])
    assert [group.name for group in grouped(two)] == ["b", "a[w4]"]


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ([], "No budget was checked."),
        ([State.PASS], "The one check passes."),
        ([State.PASS] * 3, "All 3 checks pass."),
        ([State.PASS, State.FAIL, State.FAIL], "1 of 3 checks pass: 2 fail."),
        (
            list(State),
            "1 of 6 checks pass: 1 fail, 1 could not be measured, 1 undecided, 1 expected to fail, 1 not run here.",
        ),
    ],
)
def test_the_headline_says_it_all(states, sentence):
    rows = [row("s", f"x{index}", state) for index, state in enumerate(states)]
    assert headline(report(rows, [])) == sentence
    assert sentence in Page(render(report(rows, []))).text


def test_only_the_rows_own_label_and_verdict_leave_the_sentence():
    verdict = row("s", "top1", State.FAIL, sentence="top1: top1: 3 → 4 → FAIL")
    assert verdict.reason == "top1: 3 → 4"
    assert verdict.model_copy(update={"sentence": "something else"}).reason == "something else"


def test_each_machine_is_named_once():
    other = MACHINE.model_copy(update={"cpu": "another"})
    both = report([row(name, "x", State.PASS) for name in "abc"], [case("a"), case("b", environment=other), case("c")])
    assert [(one.cpu, [group.name for group in groups]) for one, groups in machines(grouped(both))] == [
        ("a processor", ["a", "c"]),
        ("another", ["b"]),
    ]
    assert "another, 2 cores" in Page(render(both)).text


def test_the_file_is_written_whole(tmp_path):
    path = write(FULL, tmp_path)
    assert path == tmp_path / "report.html"
    assert path.read_text(encoding="utf-8") == render(FULL)
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_without_the_extra_there_is_no_page(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert write(FULL, tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_importing_the_module_imports_no_template_engine():
    code = "import sys, harness.report.html; print(sorted({'jinja2', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_baseline_is_told_from_a_broken_budget():
    rows = [row("s", "a", State.FAIL, unaccepted=True), row("s", "b", State.FAIL), row("s", "c", State.PASS)]
    page = Page(render(report(rows, [])))
    assert "1 of 3 checks pass: 2 fail (1 of them only because no baseline is stored)." in page.text
    assert page.text.count("FAIL no baseline") == 1
    alone = Page(render(report(rows[:1], [])))
    assert "0 of 1 checks pass: 1 fail (only because no baseline is stored)." in alone.text


def test_expected_failures_stand_with_their_terms_the_first_to_end_first():
    def terms(until: str) -> ExpectFail:
        given = {"metric": "top1", "verdict": "FAIL", "because": f"{HOSTILE} why", "owner": "mara", "until": until}
        return ExpectFail.model_validate(given)

    rows = [
        row("s", "late", State.EXPECTED, expected=(terms("2027-01-31"),)),
        row("s", "early", State.EXPECTED, case="w4", expected=(terms("2026-01-31"),)),
    ]
    page = Page(render(report(rows, [])))
    assert f"s[w4] early FAIL 2026-01-31 mara {HOSTILE} why s late FAIL 2027-01-31 mara {HOSTILE} why" in page.text
    assert page.count("tr", "expected-fail") == 2
    assert "show-expected-fail" in page.ids
    assert "Expected failures" not in Page(render(FULL)).text


def test_what_can_be_tightened_is_listed_by_case():
    rows = [
        row("s", "a", State.PASS, improved=True),
        row("s", "b", State.PASS),
        row("s", "c", State.PASS, improved=True),
    ]
    page = Page(render(report(rows, [])))
    assert "Baselines that can be tightened" in page.text
    assert "s: a, c" in page.text
    assert page.text.count("can be tightened") == 3
