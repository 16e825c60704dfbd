from __future__ import annotations

from pathlib import Path

import pytest

from deepfakestream.data.ingestion.forgotten import refuse_forgotten
from deepfakestream.data.manifest import read_manifest, to_frame, write_manifest
from deepfakestream.data.quarantine import Refusal
from deepfakestream.data.tombstones import Tombstone, add_tombstones, read_tombstones
from deepfakestream.data.versioning.forgetting import remove_from_data, resolve_item
from deepfakestream.errors import DataError, Reason
from deepfakestream.host.text_table import markdown_table, text_table

FIRST, SECOND = "ab" * 32, "ab" * 31 + "cd"
STONE = Tombstone(media_id=FIRST, forgotten_at="2026-01-01T00:00:00+00:00", reason='asked, "kindly"')


def rows(*media_ids: str) -> list[dict[str, str]]:
    return [
        {"media_id": media_id, "source": "set", "original_name": f"{number}.jpg"}
        | {"path": f"media/{media_id[:2]}/{media_id}.jpg", "group_id": "g", "label": "real"}
        for number, media_id in enumerate(media_ids)
    ]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("set/1.jpg", SECOND),
        (FIRST, FIRST),
        (SECOND.upper(), SECOND),
        ("abababcd", None),
        ("1.jpg", None),
        ("ab", None),
        ("", None),
    ],
)
def test_an_item_is_called_by_name_or_digits(item: str, expected: str | None) -> None:
    assert resolve_item(to_frame(rows(FIRST, SECOND)), item) == expected


def test_digits_of_several_items_are_refused() -> None:
    with pytest.raises(DataError, match=r"^ababab: 2 items"):
        resolve_item(to_frame(rows(FIRST, SECOND)), "ababab")


def test_a_name_of_several_items_is_refused_with_their_digits() -> None:
    third = "0123456789abcdef" * 4
    named = [row | {"original_name": "a.jpg"} for row in rows(FIRST, third)]
    with pytest.raises(DataError, match=r"^set/a\.jpg: 2 items have this name.*: 0123456789ab, (ab){6}$"):
        resolve_item(to_frame(named), "set/a.jpg")
    assert resolve_item(to_frame(named), "0123456789ab") == third


def test_removing_deletes_row_and_file_and_may_be_repeated(tmp_path: Path) -> None:
    write_manifest(tmp_path, to_frame(rows(FIRST, SECOND)))
    for row in rows(FIRST, SECOND):
        (tmp_path / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / row["path"]).write_bytes(b"x")
    assert remove_from_data(tmp_path, {FIRST}) == 1
    assert remove_from_data(tmp_path, {FIRST}) == 0
    assert list(read_manifest(tmp_path)["media_id"]) == [SECOND]
    assert [path.stem for path in (tmp_path / "media").rglob("*.jpg")] == [SECOND]


def test_a_damaged_tar_is_explained_and_nothing_is_lost(tmp_path: Path) -> None:
    packed = [row | {"path": "packs/1.tar", "member": row["original_name"]} for row in rows(FIRST, SECOND)]
    write_manifest(tmp_path, to_frame(packed))
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "1.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(DataError, match=r"packs/1\.tar: cannot be packed without the item"):
        remove_from_data(tmp_path, {FIRST})
    assert len(read_manifest(tmp_path)) == 2


def test_tombstones_are_kept_once(tmp_path: Path) -> None:
    assert read_tombstones(tmp_path) == {}
    add_tombstones(tmp_path, [STONE])
    later = Tombstone(media_id=FIRST, forgotten_at="2027", reason="again")
    add_tombstones(tmp_path, [later, Tombstone(media_id=SECOND, forgotten_at="2027", reason="x")])
    assert read_tombstones(tmp_path)[FIRST] == STONE
    assert list(read_tombstones(tmp_path)) == [FIRST, SECOND]


def test_damaged_tombstones_are_refused(tmp_path: Path) -> None:
    (tmp_path / "forgotten.csv").write_text("id,when\n1,2\n")
    with pytest.raises(DataError, match=r"forgotten\.csv: .*media_id"):
        read_tombstones(tmp_path)


def test_what_was_forgotten_is_refused_whatever_else_is_wrong_with_it() -> None:
    broken = Refusal(
        source="set", original_name="a", reason=Reason.TOO_SHORT, message="", path="/a", media_id=FIRST
    )
    nameless = Refusal(source="set", original_name="b", reason=Reason.NOT_FOUND, message="", path="/b")
    first, second = refuse_forgotten([broken, nameless], {FIRST: STONE})
    assert isinstance(first, Refusal)
    assert first.reason == Reason.FORGOTTEN
    assert first.message == (
        'a: these bytes were forgotten on 2026-01-01 (asked, "kindly"); leave the file out of the source'
    )
    assert second is nameless


def test_text_tables_are_aligned_and_stay_on_their_line() -> None:
    assert text_table(("name", "n"), [("a\nb", 7), ("long one", None)], right=["n"]) == [
        "name      n",
        "a b       7",
        "long one  -",
    ]
    assert text_table(("name",), []) == ["name"]


def test_markdown_tables_stay_on_their_line() -> None:
    assert markdown_table(("name", "n"), [("a\nb|c", 7), ("long one", None)], right=["n"]) == [
        "| name | n |",
        "| --- | ---: |",
        "| a b\\|c | 7 |",
        "| long one | - |",
    ]
