from __future__ import annotations

from pathlib import Path

import pytest

from deepfakestream.data.ingestion.layouts.originals import group_rows
from deepfakestream.errors import DataError

TABLE = Path("set/manifest.csv")
COMPOSED, DECOMPOSED = "\u00e9", "e\u0301"


def groups(*rows: tuple[str, str, str]) -> list[str | None]:
    """Groups of rows of file, group_id, original."""
    cells = [dict(zip(("file", "group_id", "original"), row, strict=True)) for row in rows]
    return [grouped.group for grouped in group_rows(TABLE, cells)]


@pytest.mark.parametrize(
    "cell", ["real/y.one.mp4", "./real/y.one.mp4", "y.one.mp4", "y.one", "old/y.one.avi"]
)
def test_a_fake_takes_the_group_id_of_its_original(cell: str) -> None:
    assert groups(("real/y.one.mp4", "g7", ""), ("fake/x.mp4", "", cell)) == ["g7", "g7"]


def test_unicode_forms_of_a_name_are_one_name() -> None:
    rows = ((f"{DECOMPOSED}.mp4", "g7", ""), ("a.mp4", "", f"{COMPOSED}.mp4"), ("b.mp4", "", DECOMPOSED))
    assert groups(*rows) == ["g7", "g7", "g7"]
    assert groups(("a.mp4", "", COMPOSED), ("b.mp4", "", f"{DECOMPOSED}.mp4")) == [COMPOSED, COMPOSED]


def test_a_fake_of_a_fake_is_in_the_group_of_the_first() -> None:
    rows = (("z.mp4", "", "x.mp4"), ("x.mp4", "", "y.mp4"), ("y.mp4", "g7", ""))
    assert groups(*rows) == ["g7", "g7", "g7"]


def test_an_original_without_an_id_takes_that_of_its_fakes() -> None:
    assert groups(("y.mp4", "", ""), ("x.mp4", "g1", "y.mp4"), ("w.mp4", "", "y.mp4")) == ["g1", "g1", "g1"]


def test_rows_that_name_each_other_or_themselves_are_one_group() -> None:
    assert groups(("a.mp4", "", "a.mp4")) == ["a"]
    assert len(set(groups(("a.mp4", "", "b.mp4"), ("b.mp4", "", "a.mp4")))) == 1


def test_an_exact_path_is_meant_before_a_name() -> None:
    rows = (("1/y.mp4", "g1", ""), ("2/y.mp4", "g2", ""), ("x.mp4", "", "2/y.mp4"))
    assert groups(*rows) == ["g1", "g2", "g2"]


def test_a_cell_that_may_be_any_of_several_groups_is_named() -> None:
    message = (
        r"manifest.csv: original 'y.mp4' of 'x.mp4' may be '1/y.mp4' or '2/y.mp4', which .* write the whole"
    )
    with pytest.raises(DataError, match=message):
        groups(("1/y.mp4", "g1", ""), ("2/y.mp4", "g2", ""), ("x.mp4", "", "y.mp4"))
    assert groups(("1/y.mp4", "", ""), ("2/y.mp4", "", ""), ("x.mp4", "", "y.mp4")) == ["y", "y", "y"]


def test_fakes_of_two_groups_with_one_original_are_named() -> None:
    with pytest.raises(DataError, match=r"'g1' .*'g2' .*'y\.mp4'"):
        groups(("y.mp4", "", ""), ("x.mp4", "g1", "y.mp4"), ("w.mp4", "g2", "y.mp4"))


def test_without_the_column_a_row_has_the_group_that_it_says() -> None:
    assert [
        grouped.group for grouped in group_rows(TABLE, [{"file": "a"}, {"file": "b", "group_id": "g"}])
    ] == [
        None,
        "g",
    ]
