"""Sends the alerts that wait in the book; a channel that fails is tried again, and nothing waits for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from deepfakestream.monitoring.alert_book import AlertBook, channel_id
from deepfakestream.monitoring.alert_channels import Channel

logger = logging.getLogger("deepfakestream.alerts")


def send_waiting(book: AlertBook, addresses: Sequence[str], now: datetime) -> int:
    """Send what is due to these channels; return how many messages arrived.

    A failure is logged with its reason and tried again: after a minute, then after twice as long each time,
    an hour at most, for a day. A channel that has failed is left alone for the rest of this call.

    Args:
        book: of the workspace.
        addresses: of the channels; what waits for one of another process's settings is left to that.
        now: moment, in UTC.
    """
    channels = {
        channel_id(address): Channel(number, address)
        for number, address in enumerate(dict.fromkeys(addresses), 1)
    }
    failed_until: dict[str, datetime] = {}
    num_arrived = 0
    for delivery in book.take_waiting(channels, now):
        channel = channels[delivery.channel]
        if (until := failed_until.get(delivery.channel)) is not None:
            book.postpone(delivery, until)
            continue
        reason = channel.send(delivery.alert)
        again_at = book.settle(delivery, arrived=not reason, now=now)
        if not reason:
            num_arrived += 1
            continue
        what = f"alert {delivery.alert.kind} not sent by {channel.name}: {reason}"
        if again_at is None:
            logger.error("%s; given up after %d attempts", what, delivery.attempts + 1)
            continue
        failed_until[delivery.channel] = again_at
        logger.error("%s; tried again at %s UTC", what, f"{again_at:%H:%M}")
    return num_arrived
