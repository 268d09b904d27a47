"""The page of a data set's inspection: one offline HTML file, in the report's own style and with its own figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.report.html import PAGE, assemble

OWN = Path(__file__).parent / "data_page"
SHARED = ("1_dom.js", "2_chart.js", "2_frame.js")
NO_SCRIPT = "This page draws its tables and figures with JavaScript. `rlhf data` prints the same numbers."


def render_data(told: Mapping[str, Any]) -> str:
    """Return the page of what `rlhf.data.inspect.whole` told."""
    scripts = [PAGE / name for name in SHARED] + sorted(OWN.glob("*.js"))
    styles = [PAGE / "style.css", OWN / "style.css"]
    data = {"title": f"Data set {told['name']}", "rows": [], "columns": [], "params": [], "told": told}
    return assemble(data, scripts, styles, NO_SCRIPT)
