"""The page of a data set: offline, inert against what the data holds, and alive in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from browser import needs_browser, show
from rich.console import Console

from rlhf.data.rows import SHARED
from rlhf.report.data_page import OWN, render_data
from rlhf.report.data_table import show as show_data

EVIL = "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\"><!-- \u2028"


def lengths(part: str, unit: str, **more: Any) -> dict[str, Any]:
    figures = {"rows": 10, "mean": 4.0, "median": 4, "p95": 9, "p99": 9, "min": 1, "max": 40}
    return {"part": part, "unit": unit, **figures, "start": 0, "width": 5, "bars": [6, 3, 1], "beyond": 1, **more}


def values() -> dict[str, Any]:
    """What `rlhf.data.inspect.whole` tells, with a hostile text wherever the data's own may stand."""
    near = {"rows_looked_at": 10, "held_out": {"validation": 2, "test": 2}, "clusters": 1, "rows": 2}
    near |= {"clusters_across_parts": 1, "leaked": {"validation": 0, "test": 1}, "examples": [[EVIL, "again"]]}
    interval = {"mean": 0.8, "low": 0.7, "high": 0.9}
    over = [{"limit": name, "tokens": 8, "rows": 3} for name in ("prompt", "response", "context")]
    tokens = {"model": "tiny", "lengths": [lengths("prompt", "tokens", limit=8)], "over": over, "together": True}
    return {
        "name": "mine", "fingerprint": "0123456789abcdef" * 4, "shape": "preference", "source": EVIL,
        "command": f"rlhf data dataset=table '{EVIL}'", "page": "x.html", "tokens_note": "", "rows": 10,
        "looked_at": 10,
        "findings": [
            {"severity": severity, "kind": "ties", "told": f"{severity} {EVIL}", "remedy": "Do."}
            for severity in ("error", "warning", "info")
        ],
        "account": [
            {"step": step, "before": before, "after": after}
            for step, before, after in (
                ("read", 12, 12), (EVIL, 12, 10), ("train", 10, 6), ("validation", 10, 2), ("test", 10, 2)
            )
        ],
        "parts": {"train": 6, "validation": 2, "test": 2},
        "labels": {"good": 3, "bad": 1},
        "overlap": [
            {"what": what, "same": same, "part": "test", "other": "train", "rows": 1, "of": 2}
            for what, same in SHARED.items()
        ],
        "similarity": 0.8, "piece": 5,
        "schema": {"records": 12, "unreadable": 0, "columns": [
            {"column": EVIL, "types": {"text": 9, "list": 3}, "nulls": 0, "empties": 1, "mean_characters": 3,
             "longest": 9}
        ]},
        "counted": {
            "lengths": [
                lengths("prompt", "words"), lengths("chosen", "characters"), lengths("dialogue", "speakers", min=40)
            ],
            "tables": [{"name": "intent", "of": "rows", "total": 10, "distinct": 3, "rest": 1, "lines": [
                {"value": EVIL, "count": 6, "share": 0.6}, {"value": "pay", "count": 3, "share": 0.3}
            ]}],
            "no_tables": ["time"], "figures": [{"field": "margin", "rows": 10, "mean": 1.5, "min": 0.5, "max": 2.5}],
            "longer": {"chosen": 6, "rejected": 3, "equal": 1}, "distinct": {"prompts": 9, "answers": 18},
        },
        "closely": {
            "rows": 10, "languages": [{"value": "en", "count": 10, "share": 1.0}], "tokens": tokens,
            "personal": {"rows": 1, "kinds": [{"kind": "email", "what": "an e-mail address", "found": 2, "rows": 1}]},
            "toxic": [{"part": "prompt", "texts": 10, "rows": 1, "found": 1}],
        },
        "near_duplicates": near,
        "style": {"pairs": 10, "groups": 9, "folds": 5, "bag_of_words": interval, "length_rule": interval, "of": 10},
        "cleaning": {"steps": [{"step": "html", "changed": 2, "texts": 30}], "examples": [[EVIL, "after"]]},
    }  # fmt: skip


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "data.html"
    file.write_text(render_data(values()), encoding="utf-8")
    return file


def test_the_page_asks_nothing_of_any_network_and_holds_no_markup_of_the_data(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}  # a name, never fetched
    parts = "".join(file.read_text(encoding="utf-8") for file in OWN.iterdir())
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|innerHTML|eval\(|import\(|style=", parts)
    assert len(re.findall(r"<script", text)) == 2 and "<img" not in text
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    for kind, opening in (("style", "<style>"), ("script", "<script>")):
        (body,) = re.findall(f"{opening}(.*?)</{kind}>", text, flags=re.DOTALL)
        assert f"{kind}-src 'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy


def test_the_data_stands_in_it_once_as_values(page: Path) -> None:
    (held,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), flags=re.DOTALL)
    assert json.loads(held)["told"] == values()


@pytest.mark.parametrize(("count", "told"), [(1, "1 cluster reaches over"), (2, "2 clusters reach over")])
def test_clusters_are_counted_in_the_terminal(count: int, told: str) -> None:
    held = values()
    held["near_duplicates"] |= {"clusters": count, "clusters_across_parts": count}
    screen = StringIO()
    show_data(held, Console(file=screen, width=400))
    assert told in screen.getvalue() and f"rows in {told.rpartition(' r')[0]} of prompts" in screen.getvalue()


PROBE = """(() => {
  const seen = { ready: document.documentElement.dataset.ready, title: document.title };
  seen.sections = [...document.querySelectorAll("section")].map((one) => one.id);
  seen.findings = [...document.querySelectorAll("#findings li")].map((one) => one.className);
  seen.figures = document.querySelectorAll("#lengths svg").length;
  seen.same = document.querySelector("#lengths").textContent.includes("dialogue in speakers 40");
  seen.past = document.querySelectorAll("#lengths .past").length;
  seen.kinds = [...document.querySelectorAll("#kinds .value")].map((one) => one.textContent);
  seen.bar = document.querySelector("#kinds figure:nth-child(2) .share").style.width;
  seen.lost = document.querySelector("#rows tr:nth-child(2) .gone").getBoundingClientRect().width > 5;
  seen.clusters = document.querySelector("#split").textContent.match(/[0-9]+ clusters? [a-z]+/g);
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
    assert (seen["ready"], seen["title"], seen["asked"]) == ("true", "Data set mine", 0)
    assert "<img" not in re.sub(r"<script.*?</script>", "", shown.dom, flags=re.DOTALL)
    assert seen["sections"] == [
        "findings", "rows", "columns", "lengths", "kinds", "split", "style", "contents", "cleaning",
    ]  # fmt: skip
    assert seen["findings"] == ["bad", "", "note"]
    assert (seen["figures"], seen["same"], seen["past"]) == (3, True, 1)  # bars from 0, 5 and 10; the limit is 8
    assert seen["kinds"] == ["good", "bad", EVIL, "pay"]
    assert seen["clusters"] == ["1 cluster of", "1 cluster reaches"]
    assert seen["bar"] == "100%" and seen["lost"]
    assert seen["dark"] == "rgb(20, 23, 28)"
    assert seen["wide"]


@needs_browser
def test_sections_without_content_are_left_out(tmp_path: Path) -> None:
    few = values() | {"schema": None, "cleaning": None, "style": None, "labels": None, "findings": []}
    few["counted"] |= {"longer": None, "tables": [], "figures": [], "no_tables": []}
    few["closely"]["tokens"], few["tokens_note"] = None, "not measured: no network"
    page = tmp_path / "few.html"
    page.write_text(render_data(few), encoding="utf-8")
    probe = "[[...document.querySelectorAll('section')].map((one) => one.id), document.body.textContent]"
    shown = show(page, probe, tmp_path)
    assert shown.complaints == []
    assert shown.found[0] == ["findings", "rows", "lengths", "split", "contents"]
    assert "None of the thresholds" in shown.found[1] and "Tokens: not measured: no network." in shown.found[1]
