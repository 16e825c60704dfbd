from __future__ import annotations

import contextlib
import pickle
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deepfakestream.training.face_set import FaceSet
from deepfakestream.training.mapped import handle_of, open_mapped, shared_folder, write_stacked


class TestHandle:
    @pytest.mark.parametrize(
        ("part", "is_whole"),
        [
            (np.s_[:], True),
            (np.s_[1:], False),
            (np.s_[:2], False),
            (np.s_[::-1], False),
            (np.s_[[0, 1, 2]], False),
        ],
    )
    def test_only_whole_files_have_one(self, tmp_path: Path, part: object, is_whole: bool) -> None:
        path = tmp_path / "a.npy"
        np.save(path, np.arange(12.0).reshape(3, 4))
        assert handle_of(open_mapped(path)[part]) == (path if is_whole else None)  # type: ignore[index]

    def test_arrays_in_memory_have_none(self) -> None:
        assert handle_of(np.zeros(3)) is None


class TestWriteStacked:
    def test_is_the_stack(self, tmp_path: Path) -> None:
        pictures = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3)).astype(np.uint8)
        write_stacked(tmp_path / "a.npy", (picture[:, ::-1] for picture in pictures), count=3)
        assert np.array_equal(open_mapped(tmp_path / "a.npy"), pictures[:, :, ::-1])

    def test_room_is_asked_for_as_pictures_come(self, tmp_path: Path) -> None:
        """A file made as large as it will be has holes, and a disk too full to fill them kills a mapper."""
        path, sizes_bytes = tmp_path / "a.npy", []

        def pictures() -> Iterator[NDArray[np.uint8]]:
            for _ in range(3):
                sizes_bytes.append(path.stat().st_size)
                yield np.zeros((400, 400, 3), np.uint8)

        write_stacked(path, pictures(), count=3)
        assert sizes_bytes[0] == 0
        assert sizes_bytes[2] < path.stat().st_size - 400_000

    def test_a_full_disk_is_said(self) -> None:
        with pytest.raises(OSError, match="No space left"):
            write_stacked(Path("/dev/full"), [np.zeros((400, 400, 3), np.uint8)], count=1)


class TestFaceSet:
    def test_a_mapped_set_is_sent_as_paths(self, face_set: Callable[..., FaceSet], tmp_path: Path) -> None:
        faces = face_set()
        np.save(tmp_path / "images.npy", faces.images)
        np.save(tmp_path / "points.npy", faces.points)
        mapped = replace(
            faces, images=open_mapped(tmp_path / "images.npy"), points=open_mapped(tmp_path / "points.npy")
        )
        sent = pickle.dumps(mapped)
        assert len(sent) < 6_000 < faces.images.nbytes
        found = pickle.loads(sent)
        assert isinstance(found.images, np.memmap)
        assert np.array_equal(found.images, faces.images)
        assert np.array_equal(found.points, faces.points, equal_nan=True)
        assert np.array_equal(found.groups, faces.groups)

    def test_a_set_in_memory_is_sent_whole(self, face_set: Callable[..., FaceSet]) -> None:
        faces = face_set()
        assert np.array_equal(pickle.loads(pickle.dumps(faces)).images, faces.images)


class TestSharedFolder:
    def test_filled_once_and_removed_by_the_last(self, tmp_path: Path) -> None:
        fills: list[Path] = []

        def fill(folder: Path) -> None:
            fills.append(folder)
            (folder / "x").write_text("1")

        with shared_folder(tmp_path, "key", fill) as one:
            with shared_folder(tmp_path, "key", fill) as other:
                assert one == other
                assert (other / "x").read_text() == "1"
            assert (one / "x").exists()
        assert not one.exists()
        assert len(fills) == 1

    def test_leftovers_of_a_kill_are_used_or_removed(self, tmp_path: Path) -> None:
        for key in ("mine", "other"):
            (tmp_path / key).mkdir()
            (tmp_path / f"{key}.lock").touch()
        (tmp_path / "mine" / "x").write_text("from before")
        with shared_folder(tmp_path, "mine", lambda folder: None) as folder:
            assert (folder / "x").read_text() == "from before"
            assert not (tmp_path / "other").exists()

    def test_half_filled_is_filled_anew(self, tmp_path: Path) -> None:
        def fail(folder: Path) -> None:
            (folder / "half").touch()
            raise ValueError("disk full")

        with pytest.raises(ValueError, match="disk full"), shared_folder(tmp_path, "key", fail):
            pass
        with shared_folder(tmp_path, "key", lambda folder: None) as folder:
            assert list(folder.iterdir()) == []

    def test_another_key_leaves_a_used_folder_alone(self, tmp_path: Path) -> None:
        with shared_folder(tmp_path, "a", lambda folder: None) as used:
            with shared_folder(tmp_path, "b", lambda folder: None):
                assert used.exists()
            assert used.exists()

    def test_two_at_once_fill_once(self, tmp_path: Path) -> None:
        """Both look before either fills, where they can: one that waited for the other's end would hang."""
        both_looked = threading.Barrier(2)
        both_inside = threading.Barrier(2, timeout=20)
        fills: list[str] = []
        met: list[bool] = []

        class Watched(type(tmp_path)):  # type: ignore[misc]
            def exists(self) -> bool:
                found = bool(super().exists())
                with contextlib.suppress(threading.BrokenBarrierError):
                    both_looked.wait(timeout=0.2)
                return found

        def use() -> None:
            with (
                contextlib.suppress(threading.BrokenBarrierError),
                shared_folder(Watched(tmp_path), "key", lambda folder: fills.append("x")) as folder,
            ):
                both_inside.wait()
                met.append(folder.is_dir())

        threads = [threading.Thread(target=use, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert met == [True, True]
        assert fills == ["x"]
        assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]
