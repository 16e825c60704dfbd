"""When callers who are turned away should come back."""

from __future__ import annotations

from deepfakestream.service.places import MAX_WAIT_S, TurnedAway


def test_each_who_is_turned_away_comes_back_later_than_those_before() -> None:
    now = 100.0
    turned_away = TurnedAway(clock=lambda: now)
    waits = [turned_away.next_wait_s(num_in_work=4, each_s=0.25) for _ in range(9)]
    assert waits == [1, 2, 2, 2, 2, 3, 3, 3, 3]
    now = 101.0  # the first comes back, and is turned away again
    assert turned_away.next_wait_s(num_in_work=4, each_s=0.25) == 3
    now = 200.0
    assert turned_away.next_wait_s(num_in_work=4, each_s=0.25) == 1


def test_nobody_is_asked_to_wait_for_long() -> None:
    now = 100.0
    turned_away = TurnedAway(clock=lambda: now)
    waits = []
    for _ in range(1000):
        waits.append(turned_away.next_wait_s(num_in_work=8, each_s=0.05))
        now += 0.01
    assert max(waits) == MAX_WAIT_S
    now += MAX_WAIT_S
    assert turned_away.next_wait_s(num_in_work=8, each_s=0.05) == 1
