"""Decodes one file in each child process; its arguments are CONTROL MEMORY_MB LIBRARIES.

CONTROL is the number of a socket that this process inherits. Each request on it names a file and a budget and
carries two descriptors: a socket for the frames, and a pipe for the exit status. A child is forked, gives up
what it does not need, and answers on the socket: lines of JSON, and the bytes of a frame behind its line.
Closing the pipe ends the child, closing CONTROL ends everything. `isolated` is the other side.

LIBRARIES is `pictures` or `videos`: what children find loaded. With either they read every file, but FFmpeg's
libraries double the time of a fork.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
import json
import math
import os
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deepfakestream.errors import MediaError, Reason
from deepfakestream.host.confinement import leave_network, limit_rights, limit_work
from deepfakestream.host.process_tree import end_with_parent
from deepfakestream.host.system_calls import apply_filter, system_call_filter
from deepfakestream.media.reader import Media, open_media
from deepfakestream.media.types import MediaBudget

EXTRA_S = 15
"""Beyond the budget's seconds, which the reader keeps by itself where it can look at a clock."""
MAX_REQUEST_BYTES = 65_536
_NUM_WARM = 10
"""Python rewrites the code of a function for speed when it has run eight times."""


def main() -> None:
    """Fork a child for each request until there are no more."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for number in (signal.SIGINT, signal.SIGTERM):  # files that are being read are read to their end
        signal.signal(number, signal.SIG_IGN)
    leave_network()
    call_filter = system_call_filter()
    _load(sys.argv[3])
    limit_rights(memory_mb=int(sys.argv[2]))
    children: dict[int, tuple[int, int]] = {}
    poller = select.poll()
    poller.register(control, select.POLLIN)
    while True:
        # one at a time: the number of what is closed here may come again
        for descriptor, _ in poller.poll()[:1]:
            if descriptor == control.fileno():
                request, descriptors, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, 2)
                if not request:
                    return  # the kernel ends the children with us
                pid = os.fork()
                if pid == 0:
                    _be_child(descriptors[0], request, call_filter)
                os.close(descriptors[0])
                ended = os.pidfd_open(pid)  # readable when the child has ended
                children[ended] = pid, descriptors[1]
                poller.register(ended, select.POLLIN)
                poller.register(descriptors[1], 0)  # tells when its reader is gone
            elif descriptor in children:
                pid, status = children.pop(descriptor)
                _, how = os.waitpid(pid, 0)
                with suppress(BrokenPipeError):
                    os.write(status, str(os.waitstatus_to_exitcode(how)).encode())
                for each in (descriptor, status):
                    with suppress(KeyError):
                        poller.unregister(each)
                    os.close(each)
            else:
                poller.unregister(descriptor)
                os.kill(
                    next(pid for pid, status in children.values() if status == descriptor), signal.SIGKILL
                )


def _load(libraries: str) -> None:
    """Load what children need and fill Python's caches: what a child writes to itself is copied for it."""
    Image.init()
    if libraries == "videos":
        importlib.import_module("deepfakestream.media.clips")
    with os.fdopen(os.memfd_create("picture"), "wb") as file:
        Image.new("RGB", (32, 32)).save(file, "JPEG")
        file.flush()
        for _ in range(_NUM_WARM):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                ours.sendall((1).to_bytes(4, "big"))
                _answer(theirs, Path(f"/proc/self/fd/{file.fileno()}"), MediaBudget())
    gc.collect()
    gc.freeze()  # a collection in a child would write to, and so copy, all that is there


def _be_child(frames: int, request: bytes, call_filter: bytes | None) -> None:
    """Answer one request and end."""
    try:
        end_with_parent(signal.SIGKILL)
        os.dup2(frames, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        answer = socket.socket(fileno=3)
        task = json.loads(request)
        budget = MediaBudget(**task["budget"])
        limit_work(cpu_s=math.ceil(budget.max_wall_s) + EXTRA_S)
        _say(answer, {"filtered": call_filter is not None and apply_filter(call_filter)})
        _answer(answer, Path(task["path"]), budget)
    except BaseException:  # noqa: BLE001 - a child must never go on as its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _answer(out: socket.socket, path: Path, budget: MediaBudget) -> None:
    try:
        with open_media(path, budget) as media:
            _say(out, {"opened": True, **_state(media)})
            num_frames = int.from_bytes(out.recv(4), "big")
            for frame in media.frames(num_frames) if num_frames else ():
                pixels = np.ascontiguousarray(frame.rgb)
                facts = {
                    "index": frame.index, "time_s": frame.time_s, "stream": frame.stream, "part": frame.part,
                }  # fmt: skip
                _say(out, {"frame": facts, "shape": pixels.shape[:2], **_state(media)})
                out.sendall(pixels.data)
            _say(out, {"done": True, **_state(media)})
    except MediaError as error:
        _say(out, {"error": str(error.reason), "message": str(error)})
    except MemoryError:
        _say(out, {"error": str(Reason.MEMORY_BUDGET), "message": ""})


def _state(media: Media) -> dict[str, Any]:
    return {
        "info": dataclasses.asdict(media.info),
        "reasons": [str(reason) for reason in media.reasons],
        "notes": [dataclasses.asdict(note) for note in media.notes],
    }


def _say(out: socket.socket, message: dict[str, Any]) -> None:
    out.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
