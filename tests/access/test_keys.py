"""API keys as they are stored, and rates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepfakestream.access.keys import PREFIX, KeyStore
from deepfakestream.access.rates import MAX_CLIENTS, RateLimiter
from deepfakestream.cli.app import app
from deepfakestream.errors import DataError, ParamsError

NOW = 1_700_000_000.0


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyStore]:
    store = KeyStore(f"sqlite:///{tmp_path}/keys.db", clock=lambda: NOW)
    yield store
    store.close()


def test_a_key_is_found_by_its_secret_which_is_not_stored(keys: KeyStore, tmp_path: Path) -> None:
    secret, key = keys.create("newsroom", images_per_day=5, expires_in_days=2)
    assert secret.startswith(PREFIX)
    assert len(secret) > 40
    assert keys.find(secret) == key
    assert (key.images_per_day, key.expires_at) == (5, NOW + 2 * 86_400)
    assert keys.find(secret + "x") is None
    keys.close()
    assert not any(secret.encode() in path.read_bytes() for path in tmp_path.iterdir())


def test_a_revoked_key_is_gone_and_its_name_stays_taken(keys: KeyStore) -> None:
    secret, _ = keys.create("one")
    assert keys.any_active()
    keys.revoke("one")
    assert keys.find(secret) is None
    assert not keys.any_active()
    assert [key.name for key in keys.all()] == ["one"]
    with pytest.raises(DataError, match="one"):
        keys.create("one")
    with pytest.raises(DataError, match="no active key 'one'"):
        keys.revoke("one")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("", {}),
        ("local", {}),
        ("with space", {}),
        ("a" * 65, {}),
        ("a", {"scopes": ["root"]}),
        ("a", {"scopes": []}),
    ],
)
def test_names_and_scopes_that_are_not_allowed(keys: KeyStore, name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ParamsError):
        keys.create(name, **options)


def test_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEEPFAKESTREAM_WORKSPACE", str(tmp_path))

    def run(*arguments: str) -> str:
        app(["keys", *arguments], standalone_mode=False)
        return capsys.readouterr().out

    made = run("create", "newsroom", "--scope", "read", "--video-minutes-per-day", "60")
    secret = next(word for word in made.split() if word.startswith(PREFIX))
    assert "whsec_" in made
    assert run("webhook-secret", "newsroom").strip() in made
    listed = run("list")
    assert "newsroom" in listed
    assert "active" in listed
    assert secret not in listed
    assert "revoked" in run("revoke", "newsroom")
    assert "revoked" in run("list")


def test_a_bucket_fills_evenly_and_not_over_its_size() -> None:
    now = 0.0
    limiter = RateLimiter(clock=lambda: now)
    assert [limiter.take("a", 60).remaining for _ in range(3)] == [59, 58, 57]
    for _ in range(57):
        limiter.take("a", 60)
    refused = limiter.take("a", 60)
    assert not refused.allowed
    assert refused.seconds_to_next == pytest.approx(1.0)
    assert limiter.take("b", 60).allowed
    now = 1.0
    assert [limiter.take("a", 60).allowed for _ in range(2)] == [True, False]
    now = 1000.0
    assert limiter.take("a", 60).remaining == 59


def test_strangers_cannot_fill_the_memory() -> None:
    limiter = RateLimiter()
    for number in range(MAX_CLIENTS + 100):
        limiter.take(str(number), 10)
    assert len(limiter._buckets) == MAX_CLIENTS
