from __future__ import annotations

import pytest

from deepfakestream.media.schedule import spread


@pytest.mark.parametrize(
    ("starts", "last_shown", "num_frames", "expected"),
    [
        ([], 0, 4, []),
        ([7], 0, 4, [0]),
        ([0, 1, 2], 1, 4, [0, 1, 2]),
        ([0, 1, 2], 1, 1, [1]),
        ([0, 1, 2, 3], 1, 2, [1, 3]),
        ([-5, -4, -3, -2], 1, 2, [1, 3]),
        (list(range(100)), 1, 4, [12, 37, 62, 87]),
        ([0, 1, 2, 3, 96], 4, 4, [3]),
        ([0, 1, 2, 3, 50, 99], 1, 4, [3, 4]),
    ],
    ids=["none", "one", "fewer than asked", "middle", "even", "negative", "long", "held frame", "two held"],
)
def test_frames_come_from_the_middle_of_equal_parts_of_the_time(starts, last_shown, num_frames, expected):
    assert spread(starts, last_shown, num_frames) == expected
