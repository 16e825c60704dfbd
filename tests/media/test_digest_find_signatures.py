from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from deepfakestream.host.digest import sha256_file
from deepfakestream.media.containers import sniff
from deepfakestream.media.find import find_media

PACKET = b"G\x40\x00\x10"
JPEG_HEAD = b"\xff\xd8\xff\xe0" + bytes(60)


def test_digest_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc" * 100_000)
    assert sha256_file(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_digest_of_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        sha256_file(tmp_path / "none")


def test_named_files_are_kept_whatever_they_are(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no media")
    missing = tmp_path / "missing.mp4"
    assert find_media([text, missing, text]) == [text, missing]


def test_folders_are_searched_by_suffix_and_content_in_sorted_order(tmp_path):
    for name, content in [
        ("b/clip.mp4", b""),
        ("b/photo_without_suffix", JPEG_HEAD),
        ("a.JPG", JPEG_HEAD),
        ("notes.txt", b"text"),
        (".hidden.jpg", JPEG_HEAD),
        (".git/x.jpg", JPEG_HEAD),
    ]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    found = [path.relative_to(tmp_path) for path in find_media([tmp_path])]
    assert found == [Path("a.JPG"), Path("b/clip.mp4"), Path("b/photo_without_suffix")]


def test_a_name_that_is_too_long_is_kept_like_any_that_is_not_there(tmp_path):
    path = tmp_path / ("x" * 300)
    assert find_media([path, tmp_path / "a.mp4"]) == [path, tmp_path / "a.mp4"]


def test_a_folder_that_cannot_be_read_is_reported(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.jpg").write_bytes(JPEG_HEAD)
    scandir = os.scandir

    def refuse_sub(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse_sub)  # root may read everything
    assert find_media([tmp_path]) == [tmp_path / "a.jpg", tmp_path / "sub"]


def test_links_to_folders_are_followed_once_and_never_in_circles(tmp_path):
    source = tmp_path / "source"
    for name in ("source/real/a.jpg", "disk/swap/b.jpg", "disk/.hidden/c.jpg", "d.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG_HEAD)
    (source / "fake").symlink_to(tmp_path / "disk")
    (source / "fake again").symlink_to(tmp_path / "disk")
    (source / "alias of real").symlink_to(source / "real")
    (source / "up").symlink_to(tmp_path)
    (source / "real" / "circle").symlink_to(source)
    (tmp_path / "disk" / "swap" / "circle").symlink_to(tmp_path / "disk")
    (source / "gone").symlink_to(tmp_path / "nowhere")
    found = [path.relative_to(source).as_posix() for path in find_media([source])]
    assert found == ["fake/swap/b.jpg", "real/a.jpg"]
    (tmp_path / "link").symlink_to(source)
    assert len(find_media([tmp_path / "link"])) == 2


def test_folder_without_media_gives_nothing(tmp_path):
    assert find_media([tmp_path]) == []


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", None),
        (b"#EXTM3U\n", None),
        (JPEG_HEAD, "image"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "video"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None),
        (b"\x00\x00\x00\x1cftypavif", "image"),
        (b"\x00\x00\x00\x1cftypheic", "image"),
        (b"\x00\x00\x00\x1cftypisom", "video"),
        (b"\x1aE\xdf\xa3", "video"),
        (PACKET + bytes(184) + PACKET + bytes(184) + PACKET, "video"),
        (bytes(4) + PACKET + bytes(188) + PACKET + bytes(188) + PACKET, "video"),
        (PACKET + bytes(184) + PACKET + bytes(200), None),
        (b"Good morning" * 50, None),
    ],
)
def test_first_bytes_tell_the_kind(head, kind):
    assert sniff(head) == kind


@pytest.mark.parametrize(
    ("suffix", "codec"), [("h264", "libx264"), ("hevc", "libx265"), ("m2v", "mpeg2video"), ("ivf", "libvpx")]
)
def test_raw_streams_in_folders_are_found_by_suffix_and_content(tmp_path, film, stream, greys, suffix, codec):
    path = film(tmp_path / f"raw.{suffix}", stream(frames=greys(5), codec=codec))
    bare = tmp_path / "without_suffix"
    bare.write_bytes(path.read_bytes())
    path.with_suffix(f".{suffix.upper()}").write_bytes(b"")
    assert set(find_media([tmp_path])) == {path, bare, path.with_suffix(f".{suffix.upper()}")}
