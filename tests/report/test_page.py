"""The page: offline, inert against what models write, and alive in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from browser import needs_browser, show
from left_by_jobs import BASE, SFT, failed, finished, leave, summarised

from rlhf.report.html import PAGE, inert
from rlhf.report.record import read_record
from rlhf.report.summary import savings, warnings
from rlhf.report.write import write_report

EVIL = "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\"><!-- \u2028"
KL = "eval/kl/k1_policy_to_reference"


def job(beta: float, seed: int) -> dict[str, object]:
    metrics = {
        "final/loss": 0.7 - beta, "final/reward": beta + seed / 10, "final/kl": beta * 3, "final/reward_gold": 0.1,
        "final/win_rate": 0.6, "final/win_rate_low": 0.45, "final/win_rate_high": 0.7,
        "final/reward_difference": beta, "final/reward_gold_difference": beta / 2,
        "cost/pipeline_usd": beta + 1, "cost/pipeline_seconds": 60.0,
    }  # fmt: skip
    curve = [[step, beta / step] for step in range(1, 9)]
    gold = [[step, value / 2] for step, value in curve]
    roles = (BASE, SFT, {"role": "policy", "name": "dpo", "fingerprint": f"{beta}{seed}"})
    answers = [{**row, "texts": [EVIL, "fine"], "rewards": [1.0, 2.0], "gold": [0.5, 0.6]} for row in roles]
    return finished(
        [f"method.beta={beta}", f"seed={seed}"], metrics,
        curves={"train/loss": curve, "eval/reward/score": curve, "eval/reward/gold": gold, KL: curve},
        loss_unit="nats per pair", floor={"ln 2, nothing learned": 0.6931}, kl_target={},
        samples={"prompts": [EVIL, "second prompt"], "policies": answers}, seconds=30.0,
        stages=[{"name": "sft-tiny", "fingerprint": "5f", "reused": beta > 0.1, "seconds": 20.0, "usd": 0.5}],
        warnings=[f"judge: words score {beta}: not clearly better"], machine={"version.torch": "2.13.0"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    jobs = [job(beta, seed) for beta in (0.1, 0.2, 0.3, 0.4) for seed in (1, 2)]
    words = ["-m", "method=dpo", "method.beta=0.1,0.2,0.3,0.4,9", "seed=1,2"]
    place = tmp_path_factory.mktemp("sweep")
    return leave(place, [*jobs, failed(["method.beta=9", "seed=1"], EVIL)], id="ab12", words=words, started=1.7e9)


@pytest.fixture(scope="module")
def page(folder: Path) -> Path:
    return write_report(folder)[0]


def test_no_letter_of_the_data_can_end_the_script_element() -> None:
    told = inert({"answer": EVIL})
    assert not set("<>&\u2028\u2029") & set(told)
    assert json.loads(told) == {"answer": EVIL}


def test_the_page_holds_its_data_once_and_nothing_of_it_as_markup(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r"<script", text)) == 2
    assert "<img" not in text
    assert "pwned" in text  # it is shown, as text


def test_the_policy_allows_this_style_and_script_only(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; ")
    for kind, opening in (("style", "<style>"), ("script", "<script>")):
        (body,) = re.findall(f"{opening}(.*?)</{kind}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_the_page_names_no_address_to_load_from(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}  # a name, never fetched
    parts = "".join(file.read_text(encoding="utf-8") for file in PAGE.iterdir())
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|innerHTML|eval\(|import\(", parts)


def test_parts_of_the_page_are_short() -> None:
    assert {file.name: lines for file in PAGE.iterdir() if (lines := len(file.read_text().splitlines())) >= 300} == {}


def test_savings_are_what_the_reused_stages_had_cost(folder: Path) -> None:
    """Six of the eight finished jobs took the SFT stage of 20 s and 0.5 USD from the store."""
    assert savings(read_record([folder]).jobs) == (120.0, 3.0, 6)


def test_warnings_that_differ_in_figures_stand_together(folder: Path) -> None:
    (alike,) = warnings(read_record([folder]).jobs)
    assert (alike["kind"], alike["jobs"], len(alike["told"])) == ("judge", [1, 2, 3, 4, 5, 6, 7, 8], 4)


def test_numbers_that_json_does_not_have_are_told_in_words(tmp_path: Path) -> None:
    summary = summarised(read_record([leave(tmp_path, [finished([], {"final/loss": float("nan")})])]))
    cell = summary["rows"][0]["cells"]["final/loss"]
    assert (cell["value"], cell["text"]) == (None, "NaN")
    json.dumps(summary, allow_nan=False)


def test_an_older_sweep_without_the_newer_fields_is_reported(tmp_path: Path) -> None:
    old = finished(["seed=1"], {"final/reward": 1.0})
    for missing in ("judge", "trained_on", "warnings", "upstream", "curves", "rows"):
        del old[missing]
    assert [file.name for file in write_report(leave(tmp_path, [old, None]))] == ["report.html", "comparison.xlsx"]


PROBE = """(() => {
  const texts = () => [...document.querySelectorAll(".policies tr td:nth-child(2)")].map((cell) => cell.textContent);
  const press = (key) => document.querySelector(`[data-sort="${key}"]`).click();
  const seen = { ready: document.documentElement.dataset.ready, title: document.title, first: texts() };
  press("final/kl"); seen.kl = texts(); seen.sorted = document.querySelector("th[aria-sort]").getAttribute("aria-sort");
  press("final/kl"); seen.back = texts();
  press("method.beta"); seen.beta = texts();
  seen.controls = [...document.querySelectorAll(".controls tr.control td:first-child")].map((cell) => cell.textContent);
  document.querySelector("[aria-expanded]").click();
  seen.seeds = document.querySelectorAll("tr.seed").length;
  seen.sections = [...document.querySelectorAll("section")].map((section) => section.id);
  seen.prompt = document.querySelector(".prompt").textContent;
  document.querySelector("#next-prompt").click();
  seen.next = document.querySelector(".prompt").textContent;
  const answers = () => document.querySelectorAll(".answer").length;
  seen.answers = [answers()];
  const seed = document.querySelector("#answers-seed");
  seed.value = "all";
  seed.dispatchEvent(new Event("change"));
  seen.answers.push(answers());
  seen.points = document.querySelectorAll("#trade-off .target").length;
  seen.curves = document.querySelectorAll("#learning path.curve").length;
  seen.lines = document.querySelectorAll("#settings path.curve").length;
  seen.baseline = [...document.querySelectorAll("#learning .baseline-text")].map((text) => text.textContent);
  const area = document.querySelector("#settings .brush-area");
  area.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp", bubbles: true }));
  seen.kept = document.querySelectorAll(".policies tr.out").length;
  area.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  seen.all = document.querySelectorAll(".policies tr.out").length;
  document.querySelector("#theme").click(); document.querySelector("#theme").click();
  seen.dark = [document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor];
  seen.machine = document.querySelector("#machine dl").textContent;
  seen.wide = document.documentElement.scrollWidth <= innerWidth;
  seen.copies = document.querySelectorAll("button.copy").length > 5;
  return seen;
})()"""


@needs_browser
def test_the_page_works_in_a_browser(page: Path, tmp_path: Path) -> None:
    shown = show(page, PROBE, tmp_path)
    seen = shown.found
    assert shown.complaints == []
    # 1. what models wrote is text
    assert (seen["ready"], seen["title"]) == ("true", "DPO sweep ab12")
    assert (seen["prompt"], seen["next"]) == (EVIL, "second prompt")
    assert "<img" not in re.sub(r"<script.*?</script>", "", shown.dom, flags=re.DOTALL)
    assert seen["answers"] == [6, 10]  # two controls, and four policies of one seed or eight of both
    # 2. sorting: by reward at first, then by each column that is pressed, down and up
    assert seen["first"] == ["0.4", "0.3", "0.2", "0.1", "9"]
    assert (seen["kl"], seen["sorted"]) == (["0.4", "0.3", "0.2", "0.1", "9"], "descending")
    assert seen["back"] == ["0.1", "0.2", "0.3", "0.4", "9"]
    assert seen["beta"] == ["0.1", "0.2", "0.3", "0.4", "9"]
    assert seen["controls"] == ["base tiny", "sft tiny"]
    assert seen["seeds"] == 2
    # 3. figures: four groups and the start in the trade-off; four metrics of eight jobs; the brush keeps some lines
    assert seen["sections"] == [
        "warnings", "comparison", "best", "trade-off", "settings", "learning", "proxy", "answers", "runtimes", "stages",
        "failures", "commands", "machine",
    ]  # fmt: skip
    assert (seen["points"], seen["curves"], seen["lines"]) == (5, 32, 4)
    assert seen["baseline"] == ["ln 2, nothing learned"]
    assert 0 < seen["kept"] < 5 and seen["all"] == 0
    assert seen["dark"] == ["dark", "rgb(20, 23, 28)"]
    assert seen["machine"] == "torch2.13.0"
    assert seen["wide"] and seen["copies"]


@needs_browser
def test_the_page_fits_a_phone_and_asks_no_network(page: Path, tmp_path: Path) -> None:
    probe = "[document.documentElement.scrollWidth <= innerWidth, performance.getEntriesByType('resource').length]"
    shown = show(page, probe, tmp_path, width=500)
    assert shown.found == [True, 0]
    assert shown.complaints == []
    asked = set(re.findall(r'"url":"(https?://[^"]+)"', (tmp_path / "net.json").read_text(encoding="utf-8")))
    own = {address for address in asked if re.search(r"google|gvt1|chromium", address)}  # the browser's own errands
    assert asked - own == set()


@needs_browser
def test_the_front_in_the_page_is_the_front_in_python(tmp_path: Path) -> None:
    """KL against reward, cost alike: the rings in the plot are Python's front."""
    pairs = [(1.0, 1.0), (2.0, 3.0), (2.0, 2.0), (4.0, 3.5), (5.0, 3.0)]
    jobs = [
        finished([f"method.beta={at}"], {"final/kl": kl, "final/reward": reward, "cost/pipeline_seconds": 1.0})
        for at, (kl, reward) in enumerate(pairs)
    ]
    page = write_report(leave(tmp_path / "sweep", jobs))[0]
    seen = show(page, "document.querySelectorAll('#trade-off .ring').length", tmp_path)
    assert seen.found == 3  # the first, second and fourth
