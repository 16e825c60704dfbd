"""Numbers and card between ingestion, extraction and validation: each counts the items that it knows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from deepfakestream.data.manifest import read_manifest, write_manifest
from deepfakestream.errors import DataError, GateError
from deepfakestream.params import load_params
from deepfakestream.pipeline import data_stats, validate
from deepfakestream.settings import Settings

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml").validate_


def take_in_all_but(settings: Settings, num_known: int) -> None:
    """Make the items after the first ones new: under other digests, as if they had just been ingested."""
    manifest = read_manifest(settings.data_dir)
    is_new = manifest.index >= num_known
    manifest.loc[is_new, "media_id"] = "f" + manifest.loc[is_new, "media_id"].str[1:]
    write_manifest(settings.data_dir, manifest)


def test_items_wait_for_extraction_after_an_ingestion(make_workspace: Callable[..., Settings]) -> None:
    settings = make_workspace(num_items=12, num_without_face=2)
    totals = data_stats.statistics(settings).totals
    assert (totals["crops"], totals["items_without_face"], totals["items_not_extracted"]) == (20, 2, 0)
    take_in_all_but(settings, 8)
    totals = data_stats.statistics(settings).totals
    assert (totals["crops"], totals["items_without_face"], totals["items_not_extracted"]) == (12, 2, 4)


@pytest.mark.slow
def test_the_card_shows_the_findings_of_the_gate_until_the_data_change(
    make_workspace: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = make_workspace(num_items=12)
    with suppress(GateError):  # twelve items are too few for params.yaml
        validate.run(PARAMS, settings=settings)
    before = data_stats.card(tmp_path / "before", settings=settings).read_text()
    assert "rules kept." in before
    take_in_all_but(settings, 10)
    after = data_stats.card(tmp_path / "after", settings=settings).read_text()
    assert "2 of 12 items not extracted yet" in after
    assert "(12 items, 24 crops, " in after
    assert "rules kept." not in after


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"empty": [1]}'])
def test_a_damaged_summary_is_named_with_its_remedy(
    make_workspace: Callable[..., Settings], content: str
) -> None:
    settings = make_workspace(num_items=4)
    (settings.artifacts_dir / "extract" / "summary.json").write_text(content)
    with pytest.raises(DataError, match=r"summary\.json: .*'dvc repro --force extract'"):
        data_stats.statistics(settings)
