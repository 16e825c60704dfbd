"""Clients in a closed loop, as a program: `python http_load.py URL FILE CLIENTS SECONDS` prints JSON.

A process of its own, so that it can be stopped and its processor time is not the service's. Each client sends
the file, waits for the answer and sends it again; after 503 it waits for as long as `Retry-After` says.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_S = 300.0


def main() -> None:
    """Load the service and print `[status, seconds, whether it came before the end]` of every answer."""
    url, file, num_clients, seconds = sys.argv[1:]
    parts, content = urlsplit(url), Path(file).read_bytes()
    assert parts.hostname is not None
    end = time.monotonic() + float(seconds)
    answers: list[tuple[int, float, bool]] = []

    def client() -> None:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        while time.monotonic() < end:
            began_at = time.monotonic()
            connection.request("POST", parts.path, body=content, headers={"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            response.read()
            now = time.monotonic()
            answers.append((response.status, now - began_at, now < end))
            if response.status == http.HTTPStatus.SERVICE_UNAVAILABLE:
                time.sleep(max(0.0, min(float(response.headers["Retry-After"]), end - time.monotonic())))

    threads = [threading.Thread(target=client) for _ in range(int(num_clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main()
