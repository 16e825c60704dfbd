"""The clock of a film, the frames that are taken from it, and what decoding them may cost."""

from __future__ import annotations

import numpy as np
import pytest

from deepfakestream.media.timeline import Packets, Timeline, build_timeline, plan, spread


@pytest.mark.parametrize(
    ("durations", "num_frames", "expected"),
    [
        ([], 4, []),
        ([7], 4, [0]),
        ([1, 1, 1], 4, [0, 1, 2]),
        ([1, 1, 1], 1, [1]),
        ([1, 1, 1, 1], 2, [1, 3]),
        ([1] * 100, 4, [12, 37, 62, 87]),
        ([1, 1, 1, 93, 4], 4, [0, 2, 3, 4]),
        ([1, 1, 1, 47, 49, 1], 4, [1, 3, 4, 5]),
        ([1] * 50 + [10_000] + [1] * 50, 5, [12, 37, 50, 63, 88]),
    ],
    ids=["none", "one", "fewer", "middle", "even", "long", "held frame", "two held", "a leap"],
)
def test_frames_come_from_the_middle_of_equal_parts_of_the_time(durations, num_frames, expected):
    assert spread(durations, num_frames) == expected


@pytest.mark.parametrize("seed", range(20))
def test_as_many_frames_as_asked_for_come_back_in_order(seed):
    rng = np.random.default_rng(seed)
    durations = rng.exponential(size=rng.integers(20, 300)) ** rng.integers(1, 6)
    chosen = spread(durations, 16)
    assert len(chosen) == 16
    assert chosen == sorted(set(chosen))


def packets(shown, *, decoding=None, keys=(0,), held=1, hidden=()):
    count = len(shown)
    return Packets(
        decoding=list(shown if decoding is None else decoding),
        shown=list(shown),
        held=[held] * count,
        is_key=[k in keys for k in range(count)],
        is_hidden=[k in hidden for k in range(count)],
    )


def clock(stream, *, unit_s=0.04, rate=25.0, may_be_joined=True) -> Timeline:
    return build_timeline(
        stream, unit_s=unit_s, rate=rate, stated_s=None, reorder_depth=2, may_be_joined=may_be_joined
    )


def test_an_ordinary_clock_stays_as_it_is():
    timeline = clock(packets([500 + k for k in range(60)]))
    assert timeline.starts_s == pytest.approx(0.04 * np.arange(60))
    assert (timeline.duration_s, timeline.num_restarts, timeline.num_leaps) == (pytest.approx(2.4), 0, 0)
    assert not timeline.is_counted


@pytest.mark.parametrize("may_be_joined", [True, False])
def test_a_clock_that_starts_again_goes_on(may_be_joined):
    timeline = clock(packets([*range(50), *range(50)], keys=(0, 50)), may_be_joined=may_be_joined)
    assert timeline.starts_s == pytest.approx(0.04 * np.arange(100))
    assert timeline.parts.tolist() == [0] * 50 + [1] * 50
    assert timeline.num_restarts == 1


def test_a_leap_of_a_recording_is_closed_and_that_of_a_film_is_a_held_frame():
    stream = packets([*range(50), *range(15_000, 15_050)], keys=(0, 50))
    assert clock(stream).duration_s == pytest.approx(4.0)
    film = clock(stream, may_be_joined=False)
    assert film.duration_s == pytest.approx(602.0)
    assert film.film_s == pytest.approx(14.0, abs=0.1)
    difference = np.subtract(spread(film.durations, 10), spread(clock(stream).durations, 10))
    assert np.abs(difference).max() <= 5


def test_frames_that_are_decoded_out_of_order_are_no_restart():
    shown = [0, 4, 2, 1, 3, 8, 6, 5, 7]
    for decoding in (list(range(-2, 7)), shown, [None, None, *range(7)]):
        timeline = clock(packets(shown, decoding=decoding))
        assert timeline.num_restarts == 0
        assert timeline.ordinals.tolist() == [0, 3, 2, 4, 1, 7, 6, 8, 5]


@pytest.mark.parametrize("shown", [[0] * 50, [None] * 50, [k % 4 for k in range(50)]])
def test_frames_without_times_are_counted(shown):
    timeline = clock(packets(shown, decoding=[0] * 50))
    assert timeline.is_counted
    assert timeline.starts_s == pytest.approx(0.04 * np.arange(50))


def test_a_few_frames_at_one_time_follow_one_another():
    timeline = clock(packets([*range(30), *[30] * 20]))
    assert not timeline.is_counted
    assert timeline.starts_s == pytest.approx(0.04 * np.arange(50))


def test_frames_before_the_first_keyframe_are_not_asked_for():
    timeline = clock(packets(range(60), keys=(10, 40)))
    assert timeline.ordinals.tolist() == list(range(10, 60))
    assert timeline.num_undecodable == 10


def test_frames_before_the_first_keyframe_of_a_part_are_not_asked_for():
    """A recording that was joined in the middle of a stretch: they would be decoded by what is not theirs."""
    timeline = clock(packets([*range(50, 100), *range(50)], keys=(0, 25, 60, 85)))
    assert timeline.ordinals.tolist() == [*range(50), *range(60, 100)]
    assert timeline.num_undecodable == 10
    assert timeline.starts_s == pytest.approx(0.04 * np.arange(90), abs=0.41)
    assert timeline.starting_points[50] == 60


def test_a_frame_shown_before_its_keyframe_needs_the_one_before():
    timeline = clock(packets([0, 1, 2, 5, 3, 4, 6], keys=(0, 3)))
    starting = dict(zip(timeline.ordinals.tolist(), timeline.starting_points.tolist(), strict=True))
    assert starting == {0: 0, 1: 0, 2: 0, 4: 0, 5: 0, 3: 3, 6: 3}


def test_a_plan_within_the_budget_takes_the_wanted_frames():
    timeline = clock(packets(range(600), keys=range(0, 600, 12)))
    wanted = spread(timeline.durations, 6)
    assert plan(timeline, wanted, 6 * 13).positions == tuple(wanted)


def test_keyframes_stand_in_where_exact_frames_cost_too_much():
    timeline = clock(packets(range(600), keys=range(0, 600, 100)))
    planned = plan(timeline, spread(timeline.durations, 6), 12)
    assert planned.positions == (0, 100, 200, 300, 400, 500)
    assert planned.leaves_out < 1 / 6


def test_behind_the_only_keyframe_the_budget_is_spent_and_the_rest_is_reported():
    timeline = clock(packets(range(600)))
    planned = plan(timeline, spread(timeline.durations, 6), 60)
    assert planned.positions == (0, 10, 20, 30, 40, 50)
    assert planned.leaves_out > 0.8
