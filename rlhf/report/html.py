"""The report page: one HTML file that holds its data, its style and its script, and asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "page"
NO_SCRIPT = "This page draws its tables and figures with JavaScript. The same numbers are in comparison.md beside it."


def render(summary: Mapping[str, Any]) -> str:
    """Return the page of `summary` (see `rlhf.report.summary`)."""
    return assemble(summary, sorted(PAGE.glob("*.js")), [PAGE / "style.css"], NO_SCRIPT)


def assemble(data: Mapping[str, Any], scripts: Sequence[Path], styles: Sequence[Path], no_script: str) -> str:
    """Return a page that holds `data` (with its `title`), one script made of `scripts` in order, and one style.

    Its policy allows this one style and this one script, by their hashes, and no request: whatever a model answered,
    nothing in the data can run or load.
    """
    style = "".join(file.read_text(encoding="utf-8") for file in styles)
    parts = [file.read_text(encoding="utf-8") for file in scripts]
    script = "(() => {\n'use strict';\n" + "\n".join(parts) + "})();\n"
    allowed = f"style-src {_hash(style)}; script-src {_hash(script)}"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{html.escape(data['title'])}</title>\n"
        f"<style>{style}</style>\n</head>\n<body>\n"
        f'<main id="page"></main>\n<noscript>{no_script}</noscript>\n'
        f'<script type="application/json" id="data">{inert(data)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def inert(data: Any) -> str:
    """JSON that is safe inside a script element: it can neither close it nor open a comment or another one."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
