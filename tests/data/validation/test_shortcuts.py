from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deepfakestream.data.validation.shortcuts import ALL_CONTENT, ALL_METADATA, Shortcut, find_shortcuts

NUM_GROUPS = 60


def items(**changes: object) -> pd.DataFrame:
    """Two reals and two fakes a group that differ in nothing but chance, then changed."""
    generator = np.random.default_rng(4)
    count = 4 * NUM_GROUPS
    is_fake = np.arange(count) % 2 == 1
    table = pd.DataFrame(
        {
            "media_id": [f"{number:064x}" for number in range(count)],
            "label": np.where(is_fake, "fake", "real"),
            "group_id": [f"g{number // 4}" for number in range(count)],
            "source": "set",
            "kind": "image",
            "codec": "jpeg",
            "width_px": generator.choice([320, 480, 640], count),
            "height_px": 320,
            "size_bytes": generator.integers(10_000, 30_000, count),
            "duration_s": np.nan,
            "fps": np.nan,
            "jpeg_quality": generator.choice([75.0, 90.0, 95.0], count),
        }
    )
    return table.assign(**{name: change(is_fake) for name, change in changes.items()})  # type: ignore[operator]


def crops(manifest: pd.DataFrame, **changes: object) -> pd.DataFrame:
    generator = np.random.default_rng(5)
    table = manifest[["media_id"]].assign(
        luma=generator.normal(110, 20, len(manifest)),
        sharpness=generator.normal(60, 10, len(manifest)),
        face_px=generator.normal(90, 10, len(manifest)),
    )
    return table.assign(**changes)


def by_column(found: list[Shortcut]) -> dict[str, Shortcut]:
    return {shortcut.column: shortcut for shortcut in found}


def test_chance_is_no_shortcut() -> None:
    manifest = items()
    found = by_column(find_shortcuts(manifest, crops(manifest)))
    assert {"source", "kind", "codec", "height_px", "duration_s"}.isdisjoint(found)
    assert {"width_px", "jpeg_quality", "luma", ALL_METADATA, ALL_CONTENT} <= set(found)
    assert all(shortcut.low < 0.6 for shortcut in found.values())


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("jpeg_quality", lambda fake: np.where(fake, 60.0, 90.0)),
        ("codec", lambda fake: np.where(fake, "h264", "hevc")),
        ("source", lambda fake: np.where(fake, "set", "press photographs")),
        ("duration_s", lambda fake: np.where(fake, 10.0, np.nan)),
        ("fps", lambda fake: np.where(fake, 30.0, 25.0)),
        ("width_px", lambda fake: np.where(fake, 256, 1920)),
    ],
)
def test_a_planted_shortcut_is_found_and_named(column: str, change: object) -> None:
    manifest = items(**{column: change})
    found = by_column(find_shortcuts(manifest, crops(manifest)))
    assert found[column].low > 0.95
    assert found[ALL_METADATA].low > 0.95
    assert found[column].is_metadata
    assert found[ALL_CONTENT].low < 0.6


def test_what_the_pictures_show_is_measured_apart() -> None:
    manifest = items()
    smooth = np.where(manifest["label"] == "fake", 20.0, 60.0)
    found = by_column(find_shortcuts(manifest, crops(manifest, sharpness=smooth)))
    assert found["sharpness"].low > 0.95
    assert not found["sharpness"].is_metadata
    assert not found[ALL_CONTENT].is_metadata
    assert found[ALL_METADATA].low < 0.6


def test_a_column_that_only_knows_the_group_tells_nothing() -> None:
    """Each group has a width of its own; folds are whole groups, so knowing the group does not help."""
    manifest = items()
    manifest["label"] = np.where(manifest["group_id"].str[1:].astype(int) % 2 == 0, "real", "fake")
    manifest["width_px"] = np.random.default_rng(0).permutation(NUM_GROUPS).repeat(4) + 100
    assert by_column(find_shortcuts(manifest, crops(manifest)))["width_px"].low < 0.65


def test_few_groups_are_not_judged_and_some_only_with_care() -> None:
    manifest = items(jpeg_quality=lambda fake: np.where(fake, 60.0, 90.0))
    nine = manifest[manifest["group_id"].isin([f"g{n}" for n in range(9)])]
    assert find_shortcuts(nine, crops(nine)) == []
    noise = items()
    few = noise[noise["group_id"].isin([f"g{n}" for n in range(12)])]
    assert max(shortcut.low for shortcut in find_shortcuts(few, crops(few))) < 0.7
