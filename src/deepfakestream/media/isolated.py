"""Media of strangers: each file is read by a process of its own, which has no network and little of the rest.

Only numbers, words and pixels come back. Whatever a file does to its decoder, the answer is a `MediaError`,
and the next file gets a new process. A decoder that ends with the process that forked it is no fault of its
file: that is a `ServerError`.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepfakestream.errors import MediaError, Reason, ServerError
from deepfakestream.media.containers import is_heic, read_head, sniff
from deepfakestream.media.reader import Media
from deepfakestream.media.types import Frame, MediaBudget, MediaInfo, NoteCode, Record

OpenMedia = Callable[[Path, MediaBudget], AbstractContextManager[Media]]
"""Opens a media file: `reader.open_media`, or the same by other processes."""

GRACE_S = 10.0
"""Beyond the budget's seconds, before a process that does not answer is ended."""
MAX_LINE_BYTES = 4_000_000
_STATUS_S = 60.0
_BUFFER_BYTES = 1 << 20
"""Of a socket for frames; the kernel may give less."""
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # Memory in large pages, and used again: first touches of small ones take half the time of a large photo.
    "GLIBC_TUNABLES": ":".join(
        ("glibc.malloc.hugetlb=1", "glibc.malloc.mmap_threshold=33554432", "glibc.malloc.top_pad=4194304")
    ),
}
_LOG = logging.getLogger(__name__)


class IsolatedDecoding:
    """Opens media in processes of their own; for any number of threads."""

    def __init__(self, *, memory_mb: int) -> None:
        """Remember the limit; the processes that fork the others start with the first picture and video.

        Args:
            memory_mb: the most addresses, in MiB, that reading one file may take.
        """
        self._pictures = _Forks("pictures", memory_mb)
        self._videos = _Forks("videos", memory_mb)
        self._has_warned = False

    @contextmanager
    def open(self, path: Path, budget: MediaBudget) -> Iterator[Media]:
        """Open an image or video for reading, as `reader.open_media` does.

        Raises:
            MediaError: as `open_media`; or reading it took too much memory or time, or ended its process.
            ServerError: no process can be started, or its parent ended; the file may be given again.
        """
        with ExitStack() as files:
            ours, theirs = socket.socketpair()
            files.enter_context(ours)
            status, their_status = os.pipe()
            files.callback(os.close, status)
            try:
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
                forks = self._videos if _may_be_video(path) else self._pictures
                forks.request(path, budget, [theirs.fileno(), their_status])
            finally:
                theirs.close()
                os.close(their_status)
            source = _Source(path, budget, ours, status)
            if not source.is_filtered and not self._has_warned:
                self._has_warned = True
                _LOG.warning(
                    "files are read without a filter of system calls: libseccomp.so.2 is missing, or this "
                    "container forbids filters; the other limits are in force"
                )
            yield Media(path, source, source.record)

    def stop(self) -> None:
        """End all processes; the next file starts one again."""
        self._pictures.stop()
        self._videos.stop()


def _may_be_video(path: Path) -> bool:
    """Tell which libraries reading a file will take, from its first bytes; a wrong guess costs time alone."""
    try:
        head = read_head(path) if path.is_file() else b""
    except OSError:  # the process that reads it says so
        return False
    return bool(head) and (is_heic(head) or sniff(head) != "image")


class _Forks:
    """The process that forks one for each file, with the libraries for pictures or videos loaded."""

    def __init__(self, libraries: Literal["pictures", "videos"], memory_mb: int) -> None:
        self._libraries = libraries
        self._memory_mb = memory_mb
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """End it and those that it forked; the next file starts it again."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._control = self._process = None

    def request(self, path: Path, budget: MediaBudget, descriptors: list[int]) -> None:
        """Let a process of its own read a file.

        Args:
            path: the file.
            budget: how much of it is read at most.
            descriptors: the socket that it answers on, and the pipe that gets its exit status.

        Raises:
            ServerError: no process can be started.
        """
        request = json.dumps({"path": str(path.absolute()), "budget": asdict(budget)}).encode()
        with self._lock:
            for is_last in (False, True):
                try:
                    if self._control is None or self._process is None or self._process.poll() is not None:
                        self._stop()
                        self._start()
                    assert self._control is not None
                    socket.send_fds(self._control, [request], descriptors)
                    return
                except OSError as error:
                    self._stop()
                    if is_last:
                        raise ServerError(f"no process can be started that reads media ({error})") from error

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [
                sys.executable, "-m", "deepfakestream.media.decoder_process",
                str(theirs.fileno()), str(self._memory_mb), self._libraries,
            ]  # fmt: skip
            # its log is no use to anybody, and a file that it may not write would end it
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **_ENVIRONMENT},
            )
        self._control = ours


class _Source:
    """The frames of a file that another process reads."""

    def __init__(self, path: Path, budget: MediaBudget, frames: socket.socket, status: int) -> None:
        """Wait until the file is open.

        Raises:
            MediaError: it cannot be read.
            ServerError: the process ended with its parent.
        """
        self._path = path
        self._budget = budget
        self._frames = frames
        self._status = status
        self._left_s = budget.max_wall_s + GRACE_S
        self._received = bytearray()
        self.record = Record()
        self.info: MediaInfo
        self.is_filtered = bool(self._line()["filtered"])
        self._message()

    def frames(self, num_frames: int) -> Iterator[Frame]:
        """Yield the frames."""
        try:
            self._frames.sendall(num_frames.to_bytes(4, "big"))
        except OSError as error:
            raise self._lost() from error
        while (message := self._message()) and "frame" in message:
            height_px, width_px = (int(side) for side in message["shape"])
            if min(height_px, width_px) < 1 or height_px * width_px > 2 * self._budget.max_pixels:
                raise self._error(Reason.DECODER_CRASHED, "the program that read it gave no picture")
            rgb = np.empty((height_px, width_px, 3), dtype=np.uint8)
            pixels = rgb.data.cast("B")
            done = min(len(self._received), len(pixels))
            pixels[:done] = self._received[:done]
            del self._received[:done]
            while done < len(pixels):
                done += self._receive(pixels[done:])
            yield Frame(rgb=rgb, **message["frame"])

    def _message(self) -> dict[str, Any]:
        """Return the next message, after taking over what it says about the file."""
        message = self._line()
        if message.get("error") == Reason.MEMORY_BUDGET:
            raise self._out_of_memory()
        if "error" in message:
            raise MediaError(Reason(message["error"]), message["message"])
        self.info = MediaInfo(**message["info"])
        self.record.found_reasons.update(Reason(each) for each in message["reasons"])
        for each in message["notes"]:
            reason = Reason(each["reason"]) if each["reason"] else None
            self.record.add(NoteCode(each["code"]), each["text"], reason)
        return message

    def _line(self) -> dict[str, Any]:
        while (end := self._received.find(b"\n")) < 0:
            if len(self._received) > MAX_LINE_BYTES:
                raise self._error(Reason.DECODER_CRASHED, "the program that read it does not answer")
            chunk = bytearray(65_536)
            self._received += chunk[: self._receive(memoryview(chunk))]
        message: dict[str, Any] = json.loads(self._received[:end])
        del self._received[: end + 1]
        return message

    def _receive(self, target: memoryview) -> int:
        """Return how many bytes came; the clock runs only while we wait."""
        began_at = time.monotonic()
        readable, _, _ = select.select([self._frames], [], [], max(0.0, self._left_s))
        self._left_s -= time.monotonic() - began_at
        if not readable:
            raise self._error(
                Reason.TIME_BUDGET,
                f"reading it took more than {self._budget.max_wall_s + GRACE_S:.0f} s; re-encode it to H.264",
            )
        try:
            count = self._frames.recv_into(target)
        except OSError:
            count = 0
        if not count:
            raise self._lost()
        return count

    def _lost(self) -> MediaError | ServerError:
        """Return what the end of the process means; its parent writes the status, if that still runs."""
        readable, _, _ = select.select([self._status], [], [], _STATUS_S)
        status = os.read(self._status, 16) if readable else b""
        _LOG.warning("a process that read media ended with status %s", status.decode() or "unknown")
        if not status:
            return ServerError(f"{self._path.name}: the processes that read media ended; try again")
        if status == str(-signal.SIGXCPU).encode():
            return self._error(Reason.TIME_BUDGET, "decoding took too long; re-encode it to H.264")
        if status == str(-signal.SIGKILL).encode():
            return self._out_of_memory()
        return self._error(
            Reason.DECODER_CRASHED, "reading it ended the program that read it; send another copy of the file"
        )

    def _out_of_memory(self) -> MediaError:
        return self._error(Reason.MEMORY_BUDGET, "reading it takes more memory than allowed; make it smaller")

    def _error(self, reason: Reason, remedy: str) -> MediaError:
        return MediaError(reason, f"{self._path.name}: {remedy}")
