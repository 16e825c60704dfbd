"""The report to print, as PDF."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

from reportlab.graphics.shapes import Circle, Drawing, Line, Rect, String
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.units import cm
from reportlab.platypus import (
    Flowable,
    Image,
    KeepTogether,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)

from deepfakestream.reports.content import DISCLAIMER, Report
from deepfakestream.reports.timeline import Timeline, timeline

_MARGIN = 2 * cm
_WIDTH = A4[0] - 2 * _MARGIN - 12  # a frame keeps 6 points to each side
_CHART_HEIGHT = 4.5 * cm
_MAX_PICTURE_HEIGHT = 22 * cm
_STYLES = getSampleStyleSheet()
_CHART_CAPTION = (
    "Score of each scored face over time. Dashed: the threshold from which a score counts as likely fake. "
    "Grey band: inconclusive. Dark bars: no score."
)
_GRID = TableStyle(
    [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, colors.lightgrey),
        ("LEFTPADDING", (0, 0), (-1, -1), 2),
    ]
)


def pdf_report(report: Report) -> bytes:
    """Return the report as a PDF file."""
    parts: list[Flowable] = [
        Paragraph(escape(report.title), _STYLES["Title"]),
        Paragraph(escape(report.result.message), _STYLES["BodyText"]),
        Spacer(1, 0.4 * cm),
    ]
    if chart := timeline(report.result):
        parts += [_chart(chart), _text(_CHART_CAPTION)]
    if report.limits:
        parts.append(Paragraph("What limits this verdict", _STYLES["Heading2"]))
        parts += [
            Paragraph(escape(limit), _STYLES["BodyText"], bulletText="\u2022") for limit in report.limits
        ]
    if report.tracks:
        rows = [("Person", "Time", "Score", "Frames"), *report.tracks]
        parts += [
            Paragraph("Persons", _STYLES["Heading2"]),
            Table(rows, colWidths=[_WIDTH / 4] * 4, style=_GRID),
        ]
    for number, (content, caption) in enumerate(zip(report.pictures, report.captions, strict=False), 1):
        picture = Image(BytesIO(content))
        scale = min(_WIDTH / picture.imageWidth, _MAX_PICTURE_HEIGHT / picture.imageHeight, 1.0)
        picture.drawWidth, picture.drawHeight = picture.imageWidth * scale, picture.imageHeight * scale
        heading = Paragraph(f"Heat map {number}", _STYLES["Heading2"])
        parts.append(KeepTogether([heading, picture, _text(caption)]))
    parts.append(Paragraph("What was scanned, and how", _STYLES["Heading2"]))
    facts = [[_text(name), _text(value)] for name, value in report.facts]
    parts += [Table(facts, colWidths=[4 * cm, _WIDTH - 4 * cm], style=_GRID), Spacer(1, 0.4 * cm)]
    parts.append(_text(DISCLAIMER))
    file = BytesIO()
    document = SimpleDocTemplate(
        file,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN,
        title=f"{report.title}: {report.id}",
        author="DeepfakeStream",
    )
    document.build(parts)
    return file.getvalue()


def _text(text: str) -> Paragraph:
    # Without a place to break, a digest would run over the margin.
    return Paragraph(escape(text), _STYLES["BodyText"].clone("cell", wordWrap="CJK", fontSize=9, leading=12))


def _chart(chart: Timeline) -> Drawing:
    left, bottom = 0.8 * cm, 0.6 * cm
    width, height = _WIDTH - left, _CHART_HEIGHT - bottom
    drawing = Drawing(_WIDTH, _CHART_HEIGHT + 0.2 * cm)

    def box(start: float, low: float, end: float, high: float, fill: Any, stroke: Any = None) -> None:
        shape: Any = Rect(
            left + width * start, bottom + height * low, width * (end - start), height * (high - low)
        )
        shape.fillColor, shape.strokeColor = fill, stroke
        drawing.add(shape)

    box(0.0, chart.inconclusive_from, 1.0, chart.threshold, colors.whitesmoke)
    for start, end in chart.gaps:
        box(start, 0.0, end, 1.0, colors.Color(0.6, 0.6, 0.6, 0.5))
    box(0.0, 0.0, 1.0, 1.0, None, colors.grey)
    at_threshold = bottom + height * chart.threshold
    line: Any = Line(left, at_threshold, left + width, at_threshold)
    line.strokeDashArray = [4, 3]
    drawing.add(line)
    for time, score in chart.points:
        dot: Any = Circle(left + width * time, bottom + height * score, 2.4)
        dot.fillColor, dot.strokeColor = colors.HexColor(0x1B4F8F), None
        drawing.add(dot)
    texts = [(0.0, bottom, "0"), (0.0, bottom + height - 8, "1"), (left, 2.0, "0 s")]
    texts.append((left + width - 34, 2.0, f"{chart.duration_s:.1f} s"))
    for x, y, text in texts:
        label: Any = String(x, y, text)
        label.fontSize = 8
        drawing.add(label)
    return drawing
