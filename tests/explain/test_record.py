from __future__ import annotations

from pathlib import Path

from deepfakestream.errors import Reason
from deepfakestream.explain.command import Written
from deepfakestream.explain.record import page

RECORD = {
    "file": "<b>.mp4\x1b[8m",
    "verdict": "likely_real",
    "p_fake": 0.05,
    "operating_point": "balanced",
    "threshold": 0.7,
    "model": {"name": "m", "version": "0"},
    "reasons": [Reason.TRUNCATED],
    "faces": [],
}


def test_what_limits_the_verdict_is_on_the_page_and_in_the_report() -> None:
    limit = "the file ends early or is damaged, the rest was not searched"
    html = page(RECORD)
    assert f"<p>But {limit}.</p>" in html
    assert "<b>.mp4" not in html
    said = Written(directory=Path("out"), record=RECORD).describe().splitlines()
    assert said[0] == "<b>.mp4\\x1b[8m: LIKELY REAL, p_fake 0.050"
    assert said[1] == f"  note      {limit}"
    assert "But" not in page({**RECORD, "reasons": []})
