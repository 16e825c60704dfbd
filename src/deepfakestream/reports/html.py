"""The report as one page: styles, chart and pictures are inside, nothing is fetched."""

from __future__ import annotations

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined

from deepfakestream.reports.content import DISCLAIMER, Report
from deepfakestream.reports.timeline import timeline

_ENVIRONMENT = Environment(
    loader=PackageLoader("deepfakestream", "reports"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)


def html_report(report: Report) -> str:
    """Return the page."""
    pictures = [base64.b64encode(picture).decode() for picture in report.pictures]
    return _ENVIRONMENT.get_template("report.html.j2").render(
        report=report,
        chart=timeline(report.result),
        pictures=list(zip(pictures, report.captions, strict=False)),
        disclaimer=DISCLAIMER,
    )
