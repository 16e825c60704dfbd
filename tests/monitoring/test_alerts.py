"""Alerts: one for a condition, a reminder a day, one at its end; sent by real Apprise to this machine."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deepfakestream.monitoring.alert_book import GIVEN_UP_AFTER, REMINDER, AlertBook, channel_id
from deepfakestream.monitoring.alert_channels import Channel
from deepfakestream.monitoring.alert_delivery import send_waiting
from deepfakestream.monitoring.alerter import Alerter
from deepfakestream.monitoring.alerts import KINDS, Alert, make_alert

RUNBOOK = Path(__file__).parents[2] / "docs" / "MONITORING.md"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
REFUSES = "http://127.0.0.1:9/secret"
ALERT = make_alert(
    "drift.confirmed",
    "the score <drifted>",
    now=NOON,
    links={"flow runs": "http://127.0.0.1:4200"},
    facts={"share": 0.5},
)


@pytest.fixture
def clock(clock):
    clock.now = NOON
    return clock


@pytest.fixture
def alerter_to(tmp_path, clock):
    """A workspace's alerter; each call is another process with the same book."""

    def make(*addresses: str, sends: bool = True) -> Alerter:
        return Alerter(
            tmp_path / "alerts.db",
            directory=tmp_path / "alerts",
            addresses=addresses,
            sends=sends,
            clock=clock,
        )

    return make


def kept(tmp_path: Path) -> list[Alert]:
    return [Alert.model_validate_json(path.read_text()) for path in sorted((tmp_path / "alerts").iterdir())]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_section_in_the_runbook(kind):
    heading = re.compile(rf"^### {re.escape(kind)}$", re.MULTILINE)
    assert heading.search(RUNBOOK.read_text(encoding="utf-8"))
    assert make_alert(kind, "", now=NOON).runbook == f"docs/MONITORING.md#{kind.replace('.', '')}"


def test_slack_mail_and_a_webhook_get_what_happened_and_what_to_do(slack, mailbox, webhook):
    for number, address in enumerate((SLACK, mailbox.url, f"{webhook.url}/hook?token=1"), 1):
        assert Channel(number, address).send(ALERT) == ""
    (posted,) = slack.bodies
    assert slack.paths == ["/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"]
    (attachment,) = posted["attachments"]
    assert attachment["title"] == ALERT.title
    for part in ("the score &lt;drifted&gt;", ALERT.advice, ALERT.runbook, "http://127.0.0.1:4200"):
        assert part in attachment["text"]
    assert "github.com" not in json.dumps(posted)

    (mail,) = mailbox.mails
    assert (mail["Subject"], mail["To"]) == (ALERT.title, "oncall@example.org")
    plain = next(part for part in mail.walk() if part.get_content_type() == "text/plain")
    text = plain.get_payload(decode=True).decode()
    for part in (ALERT.summary, ALERT.advice, ALERT.runbook, "http://127.0.0.1:4200"):
        assert part in text

    (body,) = webhook.bodies
    assert webhook.paths == ["/hook?token=1"]
    assert Alert.model_validate({name: body[name] for name in Alert.model_fields}) == ALERT


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_receiver_that_refuses_is_a_failure(webhook, status):
    webhook.status = status
    assert Channel(1, f"{webhook.url}/hook").send(ALERT) != ""
    assert len(webhook.bodies) == 1


@pytest.mark.parametrize(
    "address",
    [
        REFUSES, "http://127.0.0.1:90O0/secret", "http://", "http://secret@127.0.0.1:9/", "slack://secret",
        "file:///secret", "secret", "mailto://127.0.0.1:9/?from=secret@x.y&to=a@b.c&mode=insecure",
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_said_without_its_secrets(address, caplog):
    channel = Channel(2, address)
    reason = channel.send(ALERT)
    assert reason
    assert "secret" not in f"{reason}{channel.name}{caplog.text}"


def test_one_alert_a_reminder_a_day_and_one_at_the_end_over_restarts(tmp_path, alerter_to, webhook, clock):
    alerter_to(webhook.url).end("x", "drift.silent", "there was nothing")
    for hour in range(0, 2 * 24 + 1, 4):
        clock.now = NOON + hour * HOUR
        alerter_to(webhook.url).begin("x", "drift.silent", f"hour {hour}")
    clock.now += MINUTE
    for _ in range(2):
        alerter_to(webhook.url).end("x", "drift.silent", "a check completed")
    assert [(body["state"], body["severity"], body["summary"]) for body in webhook.bodies] == [
        ("begins", "ticket", "hour 0"),
        ("continues", "ticket", "hour 24"),
        ("continues", "ticket", "hour 48"),
        ("over", "info", "a check completed"),
    ]
    assert [alert.state for alert in kept(tmp_path)] == ["begins", "continues", "continues", "over"]
    assert timedelta(hours=24) == REMINDER
    alerter_to(webhook.url).begin("x", "drift.silent", "again")
    assert webhook.bodies[-1]["state"] == "begins"


def test_conditions_are_separate(alerter_to, webhook):
    for condition in ("a", "b", "a"):
        alerter_to(webhook.url).begin(condition, "server.ended", condition)
    assert [body["summary"] for body in webhook.bodies] == ["a", "b"]
    assert list(alerter_to().open_conditions()) == ["a", "b"]


def test_a_channel_that_is_away_is_tried_again_and_others_get_theirs_once(
    alerter_to, webhook, mailbox, clock, caplog
):
    webhook.status = 500
    alerter = alerter_to(webhook.url, mailbox.url)
    alerter.tell("model.promoted", "version 3")
    alerter.tell("model.promoted", "version 4")
    assert len(mailbox.mails) == 2
    assert len(webhook.bodies) == 1, "what has just failed is left alone"
    assert "not sent by channel 1 (JSON)" in caplog.text
    clock.now += MINUTE / 2
    alerter.send_waiting()
    assert len(webhook.bodies) == 1
    webhook.status = 200
    clock.now += 2 * MINUTE
    alerter_to(webhook.url, mailbox.url).send_waiting()
    assert [body["summary"] for body in webhook.bodies] == ["version 3", "version 3", "version 4"]
    clock.now += 5 * HOUR
    alerter.send_waiting()
    assert (len(webhook.bodies), len(mailbox.mails)) == (3, 2)


def test_a_channel_that_stays_away_is_given_up_after_a_day(tmp_path, alerter_to, webhook, clock, caplog):
    webhook.status = 500
    alerter = alerter_to(webhook.url)
    alerter.tell("model.promoted", "version 3")
    while clock.now < NOON + GIVEN_UP_AFTER + 2 * HOUR:
        clock.now += HOUR
        alerter.send_waiting()
    assert 20 < len(webhook.bodies) < 30
    assert "given up" in caplog.text
    book = AlertBook(tmp_path / "alerts.db", directory=tmp_path)
    assert book.num_waiting() == 0
    webhook.status = 200
    assert send_waiting(book, [webhook.url], clock.now + HOUR) == 0


def test_who_does_not_send_leaves_it_to_the_one_who_does(alerter_to, webhook):
    alerter_to(webhook.url, sends=False).tell("champion.not_served", "version 7")
    assert webhook.bodies == []
    alerter_to(webhook.url).send_waiting()
    alerter_to(webhook.url).send_waiting()
    assert [body["summary"] for body in webhook.bodies] == ["version 7"]


def test_two_processes_send_a_message_once(tmp_path, webhook):
    book = AlertBook(tmp_path / "alerts.db", directory=tmp_path, addresses=[webhook.url])
    book.tell(ALERT)
    channels = [channel_id(webhook.url)]
    (first,) = book.take_waiting(channels, NOON)
    assert book.take_waiting(channels, NOON + MINUTE) == []
    assert book.take_waiting(channels, NOON + 6 * MINUTE) == [first], "the first process was killed"


def test_a_process_with_fewer_channels_leaves_the_others_theirs(alerter_to, webhook, mailbox):
    alerter_to(webhook.url, mailbox.url, sends=False).tell("champion.not_served", "version 7")
    alerter_to(webhook.url).send_waiting()
    assert (len(webhook.bodies), len(mailbox.mails)) == (1, 0)
    alerter_to("json://127.0.0.1:9/elsewhere").send_waiting()
    alerter_to(webhook.url, mailbox.url).send_waiting()  # at the same moment
    assert (len(webhook.bodies), len(mailbox.mails)) == (1, 1)


def test_with_a_day_gone_what_nobody_could_send_is_given_up(tmp_path, alerter_to, webhook, mailbox, clock):
    alerter_to(mailbox.url, sends=False).tell("champion.not_served", "version 7")
    clock.now += GIVEN_UP_AFTER + HOUR
    alerter_to(webhook.url).send_waiting()
    assert AlertBook(tmp_path / "alerts.db", directory=tmp_path).num_waiting() == 0


def test_without_channels_an_alert_is_logged_and_kept(tmp_path, alerter_to, caplog):
    with caplog.at_level(logging.INFO, "deepfakestream.alerts"):
        alerter_to().begin("x", "drift.silent", "no check", facts={"share": 0.5})
    (alert,) = kept(tmp_path)
    assert (alert.kind, alert.facts, alert.advice) == (
        "drift.silent",
        {"share": 0.5},
        KINDS["drift.silent"].advice,
    )
    (record,) = caplog.records
    assert "no check" in record.getMessage()
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize("broken", ["alerts.db", "alerts"])
def test_a_place_that_cannot_be_written_stops_nothing(tmp_path, alerter_to, webhook, broken, caplog):
    (tmp_path / broken).write_text("something else")
    alerter = alerter_to(webhook.url)
    alerter.begin("x", "drift.silent", "no check")
    alerter.sign("drift")
    alerter.end("y", "drift.silent", "there was nothing")
    alerter.send_waiting()
    assert [body["summary"] for body in webhook.bodies] == ["no check"]
    assert "not kept" in caplog.text


def test_signs_of_life_are_remembered(tmp_path, alerter_to, clock):
    book = AlertBook(tmp_path / "alerts.db", directory=tmp_path)
    assert book.last_sign("drift") is None
    alerter_to().sign("drift", "ok")
    clock.now += HOUR
    alerter_to().sign("drift", "too_few")
    sign = book.last_sign("drift")
    assert sign is not None
    assert (sign.seen_at, sign.detail) == (NOON + HOUR, "too_few")


def test_alert_files_have_names_that_sort_by_time():
    later: Any = ALERT.model_copy(update={"raised_at": NOON + MINUTE})
    assert ALERT.name == "20260302T120000000000-drift.confirmed"
    assert ALERT.name < later.name
