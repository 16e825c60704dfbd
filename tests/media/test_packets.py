"""A stream's index and its packets may not agree: the index was cut short, or the file is damaged."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from deepfakestream.media.clip_frames import Meter, Piece, PieceReader
from deepfakestream.media.demuxing import index_section
from deepfakestream.media.types import MediaBudget, Record, Stopwatch

BUDGET = MediaBudget()


@pytest.fixture
def piece_of():
    def make(path, num_packets=None, *, is_counted=False):
        """Return the first stream as if no more than so many packets had been indexed."""
        section = (0, path.stat().st_size)
        demuxer = "mov" if path.suffix == ".mp4" else None
        stream = index_section(path, section, demuxer, BUDGET, Stopwatch(), Record()).streams[0]
        timeline = stream.timeline
        known = timeline.ordinals < (num_packets or timeline.num_packets)
        timeline = replace(
            timeline,
            ordinals=timeline.ordinals[known],
            parts=timeline.parts[known],
            durations=timeline.durations[known],
            starting_points=timeline.starting_points[known],
            num_packets=num_packets or timeline.num_packets,
            is_counted=is_counted,
        )
        return Piece(section=section, demuxer=demuxer, stream_index=stream.index, timeline=timeline)

    return make


@pytest.mark.parametrize("is_counted", [True, False])
@pytest.mark.parametrize("num_packets", [1, 7, 19])
@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("vob", "mpeg2video"), ("mkv", "mpeg4")])
def test_packets_that_the_index_does_not_know_are_not_decoded(
    tmp_path, film, stream, greys, piece_of, suffix, codec, num_packets, is_counted
):
    path = film(tmp_path / f"a.{suffix}", stream(frames=greys(20), codec=codec, options={"bf": "0"}))
    piece = piece_of(path, num_packets, is_counted=is_counted)
    count = len(piece.timeline.ordinals)
    with ExitStack() as files:
        reader = PieceReader(path, piece, Meter(BUDGET), Record(), files)
        read = [position for position, _ in reader.read(tuple(range(count)))]
    assert read == list(range(count))


def test_more_pictures_than_packets_get_no_place_beyond_the_last(tmp_path, film, stream, greys, piece_of):
    """The first picture is damaged, so the next one stands for it; the index knows of no second one."""
    path = film(tmp_path / "a.vob", stream(frames=greys(20, 96, 128), codec="mpeg2video"))
    piece = piece_of(path, is_counted=True)
    first = replace(
        piece.timeline,
        ordinals=np.array([0]),
        parts=piece.timeline.parts[:1],
        durations=piece.timeline.durations[:1],
        starting_points=piece.timeline.starting_points[:1],
    )
    data = bytearray(path.read_bytes())
    slice_at = data.index(b"\0\0\1\x02")
    data[slice_at + 4 : slice_at + 12] = bytes(8)
    path.write_bytes(data)
    with ExitStack() as files:
        reader = PieceReader(path, replace(piece, timeline=first), Meter(BUDGET), Record(), files)
        assert [position for position, _ in reader.read((0,))] == [0]
