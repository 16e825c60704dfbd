from __future__ import annotations

from pathlib import Path

from deepfakestream.data.columns import CROP_COLUMNS, MANIFEST_COLUMNS
from deepfakestream.data.ingestion.layouts import LAYOUTS

TEXT = (Path(__file__).parents[2] / "docs" / "DATA.md").read_text(encoding="utf-8")


def test_every_column_is_documented_as_the_code_says() -> None:
    for column, meaning in {**MANIFEST_COLUMNS, **CROP_COLUMNS}.items():
        assert f"| `{column}` | {meaning.replace('|', '/')} |" in TEXT


def test_every_layout_is_documented() -> None:
    assert [layout.name for layout in LAYOUTS if f"| `{layout.name}` |" not in TEXT] == []
