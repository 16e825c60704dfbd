"""Data Docs that load nothing from elsewhere.

Great Expectations' pages load styles, scripts and a logo, with the time of the run in its address, from nine
hosts. Here these are taken out and one small style sheet is put in.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

_REMOTE = re.compile(r"<(?:link|img)\b[^>]*(?:href|src)=\"https?:[^>]*>", flags=re.IGNORECASE)
_REMOTE_STYLE = re.compile(r"url\(\s*['\"]?https?:[^)]*\)", flags=re.IGNORECASE)
_SCRIPT = re.compile(r"<script\b.*?</script>", flags=re.IGNORECASE | re.DOTALL)
_FOOTER = re.compile(r"<footer\b.*?</footer>", flags=re.IGNORECASE | re.DOTALL)
_OUTSIDE_LINK = re.compile(r"<a\b[^>]*href=\"https?:[^>]*>(.*?)</a>", flags=re.IGNORECASE | re.DOTALL)
STYLE = """<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 0 1rem 3rem; }
nav, .row { display: flex; flex-wrap: wrap; gap: 0 1.5rem; }
.row > * { flex: 1 1 20rem; min-width: 0; }
.row > .col-md-2, .row > .col-lg-2 { flex: 0 1 12rem; }
.row > .col-md-8, .row > .col-lg-8, .row > .col-md-10, .row > .col-lg-10 { flex: 4 1 30rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; }
td, th { border: 1px solid #d5dbe1; padding: .35rem .6rem; vertical-align: top; text-align: left; }
td { overflow-wrap: anywhere; }
a { color: #0b57a4; }
.alert, .card { border: 1px solid #d5dbe1; border-radius: .4rem; padding: .5rem 1rem; }
.badge { border-radius: .3rem; padding: .1rem .4rem; background: #e6ebf0; }
ol.breadcrumb { list-style: none; padding: 0; }
.text-success, .fa-check-circle { color: #18794e; }
.text-danger, .fa-times { color: #b42318; }
.fa-check-circle::before { content: "\\2713"; }
.fa-times::before { content: "\\2717"; }
.fa-exclamation-triangle::before { content: "!"; }
.modal, .cooltip .top, .popover { display: none; }
.sticky { position: static !important; }
.show-scrollbars { overflow: auto; }
.card:has(.btn-group-toggle), a[data-toggle="collapse"] { display: none; }
.rules td:nth-child(-n+3) { overflow-wrap: normal; white-space: nowrap; }
img { max-width: 100%; }
</style>"""


def keep_pages_local(docs_dir: Path) -> None:
    """Rewrite all pages under a folder of Data Docs so that they load nothing from elsewhere."""
    for path in sorted(docs_dir.rglob("*.html")):
        path.write_text(without_remote_parts(path.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.rmtree(docs_dir / "static", ignore_errors=True)


def without_remote_parts(html: str) -> str:
    """Return a page without scripts and what it would load from elsewhere, with a style of its own."""
    page = _SCRIPT.sub("", html)
    page = _REMOTE.sub("", page)
    page = _REMOTE_STYLE.sub("none", page)
    page = _OUTSIDE_LINK.sub(r"\1", _FOOTER.sub("", page))
    page = re.sub(r"<link\b[^>]*favicon[^>]*>", "", page)
    return page.replace("</head>", f"{STYLE}\n</head>", 1)
