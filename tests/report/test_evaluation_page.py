"""The page of an evaluation: offline, inert against what models answered, and alive in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from browser import needs_browser, show
from evaluation_by_hand import evaluation

from rlhf.report.evaluation_cells import suite_tables
from rlhf.report.evaluation_page import OWN, render_evaluation, told

EVIL = "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\"><!-- \u2028"


def values() -> dict[str, Any]:
    """The evaluation by hand with every kind of figure, and a hostile text wherever a model's own may stand."""
    data = evaluation()
    bins = [[0.5, 0.75, 0.6, 0.5, 20], [0.75, 1.0, 0.9, 0.7, 60], [0.9, 1.0, None, None, 0]]
    tables = data["suites"]["answers"]["tables"]
    tables["reliability"] = {
        name: {"columns": ["from", "to", "confidence", "accuracy", "n"], "rows": bins} for name in ("base", "dpo")
    }
    tables["latency"] = {"dpo": {"columns": ["from seconds", "to seconds", "answers"], "rows": [[0, 1, 3], [1, 2, 5]]}}
    tables[EVIL] = {"dpo": {"columns": ["kind", EVIL], "rows": [[EVIL, 0.5], ["b", math.inf]]}}
    data["suites"]["answers"]["notes"].append(EVIL)
    answers = {one["name"]: f"{one['label']} {EVIL}" for one in data["speakers"]}
    data["samples"] = [{"prompt": EVIL, "reference": "good", "answers": answers | {"ppo": ""}}] * 2
    return data


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "evaluation.html"
    file.write_text(render_evaluation(values(), suite_tables(values()), "Evaluation"), encoding="utf-8")
    return file


def test_the_page_asks_nothing_of_any_network_and_holds_no_markup_of_a_model(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {"http://www.w3.org/2000/svg"}  # a name, never fetched
    parts = "".join(file.read_text(encoding="utf-8") for file in OWN.iterdir())
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|innerHTML|eval\(|import\(|style=", parts)
    assert len(re.findall(r"<script", text)) == 2 and "<img" not in text
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    for kind, opening in (("style", "<style>"), ("script", "<script>")):
        (body,) = re.findall(f"{opening}(.*?)</{kind}>", text, flags=re.DOTALL)
        assert f"{kind}-src 'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy


def test_it_holds_the_numbers_of_the_tables() -> None:
    held = told(values(), suite_tables(values()))
    json.dumps(held, allow_nan=False)
    answers = held["suites"][0]
    accuracy = {line["label"]: line["cells"][0] for line in answers["lines"]}
    assert accuracy["dpo beta=0.1"]["value"] == 0.75 and accuracy["dpo beta=0.1"]["best"]
    assert accuracy["ppo"]["unclear"] and accuracy["ppo"]["compared"].startswith("+0.0500 against base model [")
    assert accuracy["ppo"]["compared"].endswith("sign test on 40: p 0.500, corrected 1.000: no clear difference")
    assert accuracy["dpo beta=0.1"]["compared"].endswith("p < 0.001, corrected < 0.001: clear difference")
    assert accuracy["random tokens"]["compared"] == ""
    assert [flag["metric"] for suite in held["suites"] for flag in suite["flags"]] == [
        "response/repetition", "final/distinct_2",
    ]  # fmt: skip
    assert answers["columns"][0]["fooled"]
    assert next(one for one in answers["tables"] if one["title"] == EVIL)["speakers"][0]["rows"][1] == ["b", None]


PROBE = """(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const seen = { ready: document.documentElement.dataset.ready, title: document.title };
  seen.sections = all("section").map((one) => one.id);
  seen.flags = all("#flags li").map((one) => one.className);
  seen.dots = all("#suite-answers .dots svg").length;
  seen.dashed = all("#suite-answers .dots:first-of-type .control-line").length;
  seen.heat = all("#suite-answers .heat").map((one) => one.textContent + one.style.getPropertyValue("--share"));
  seen.right = all("#suite-answers .heat.right").length;
  seen.reliability = all("#suite-answers .square .dot").length;
  seen.bars = all("#suite-answers .bar-of").length;
  seen.best = all("#suite-answers td .best").map((one) => one.textContent);
  seen.unclear = all("#suite-answers td.unclear span:first-child").map((one) => one.textContent);
  seen.answers = all("#answers article p").map((one) => one.textContent);
  document.querySelector("#next-question").click();
  seen.status = document.querySelector("#answers [aria-live]").textContent;
  const choice = document.querySelector("#suite-answers select");
  seen.chosen = choice.selectedOptions[0].textContent;
  document.querySelector("#theme").click(); document.querySelector("#theme").click();
  seen.dark = getComputedStyle(document.body).backgroundColor;
  seen.wide = document.documentElement.scrollWidth <= innerWidth;
  seen.asked = performance.getEntriesByType("resource").length;
  return seen;
})()"""


@needs_browser
@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_works_in_a_browser(width: int, page: Path, tmp_path: Path) -> None:
    shown = show(page, PROBE, tmp_path, width=width)
    seen = shown.found
    assert shown.complaints == []
    assert (seen["ready"], seen["title"], seen["asked"]) == ("true", "Evaluation", 0)
    assert "<img" not in re.sub(r"<script.*?</script>", "", shown.dom, flags=re.DOTALL)
    assert seen["sections"] == ["flags", "suite-answers", "suite-whole", "answers", "settings"]
    assert seen["flags"] == ["bad", "", "", "note"]
    assert (seen["dots"], seen["dashed"]) == (2, 10)  # five controls, in each of two figures
    assert seen["heat"] == ["571%", "114%", "114%", "571%"]  # 85% x 5 of 6, and x 1 of 6
    assert (seen["right"], seen["reliability"], seen["bars"]) == (2, 2, 2)
    assert seen["best"] == ["0.750"]
    assert seen["unclear"] == ["~0.300", "~0.500"] * 2
    assert seen["answers"][0] == f"reference answers {EVIL}" and seen["answers"][4] == "(empty)"
    assert len(seen["answers"]) == 9
    assert seen["status"] == "question 2 of 2"
    assert seen["chosen"] == "dpo beta=0.1"  # the last model of those that have the table
    assert seen["dark"] == "rgb(20, 23, 28)"
    assert seen["wide"]


@needs_browser
def test_flags_that_say_the_same_are_one_item_with_all_their_sentences(tmp_path: Path) -> None:
    data = values()
    data["metrics"] |= {f"final/{name}": data["metrics"]["final/distinct_2"] for name in ("eos_share", "win_rate")}
    data["suites"]["whole"]["metrics"] += ["final/eos_share", "final/win_rate"]
    page = tmp_path / "flags.html"
    page.write_text(render_evaluation(data, suite_tables(data), "Flags"), encoding="utf-8")
    items = "[...document.querySelectorAll('#flags > ul > li')]"
    probe = f"{items}.map((one) => [one.innerText, one.querySelectorAll('ul li').length])"
    found = show(page, probe, tmp_path).found
    texts = [text for text, _ in found]
    assert [count for _, count in found] == [0, 0, 3, 0]
    assert "final/distinct_2, final/eos_share, final/win_rate: random tokens do as well as references" in texts[2]


@needs_browser
def test_sections_without_content_are_left_out(tmp_path: Path) -> None:
    few = values() | {"samples": [], "notes": [], "failures": {}, "settings": {"bootstrap": 100, "seed": 0}}
    few["suites"] = {"answers": {"metrics": ["final/accuracy"], "tables": {}, "notes": []}}
    page = tmp_path / "few.html"
    page.write_text(render_evaluation(few, suite_tables(few), "Few"), encoding="utf-8")
    probe = "[[...document.querySelectorAll('section')].map((one) => one.id), document.body.textContent]"
    shown = show(page, probe, tmp_path)
    assert shown.complaints == []
    assert shown.found[0] == ["flags", "suite-answers", "settings"]
    assert "Nonsense is clearly worse than the reference answers" in shown.found[1]
