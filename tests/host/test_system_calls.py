"""A filter of system calls: what a process may no longer do, and what it still can."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from deepfakestream.host.system_calls import system_call_filter

PROGRAM = """
import ctypes, json, os, signal, socket, subprocess, sys, threading
from pathlib import Path
from deepfakestream.host.system_calls import apply_filter, system_call_filter

folder = Path(sys.argv[1])
ours, theirs = socket.socketpair()
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
instructions = system_call_filter()
if instructions is None or not apply_filter(instructions):
    print("no filter")
    sys.exit()

def outcome(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "done"

def in_thread():
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()

actions = {
    "connect": lambda: socket.create_connection(("127.0.0.1", 9)),
    "listen": lambda: socket.create_server(("127.0.0.1", 0)),
    "unix socket": lambda: socket.socket(socket.AF_UNIX),
    "program": lambda: subprocess.run(["true"]),
    "replace": lambda: os.execv("/bin/true", ["true"]),
    "fork": os.fork,
    "signal": lambda: os.kill(os.getppid(), 0),
    "write": lambda: (folder / "new").write_text("x"),
    "overwrite": lambda: os.open(folder / "there", os.O_RDWR),
    "append": lambda: os.open(folder / "there", os.O_WRONLY | os.O_APPEND),
    "empty": lambda: os.truncate(folder / "there", 0),
    "remove": lambda: (folder / "there").unlink(),
    "rename": lambda: (folder / "there").rename(folder / "other"),
    "folder": lambda: (folder / "sub").mkdir(),
    "link": lambda: (folder / "link").symlink_to("/"),
    "rights": lambda: (folder / "there").chmod(0o777),
    "user": lambda: os.setuid(os.getuid()),
    "read": lambda: (folder / "there").read_text(),
    "list": lambda: list(folder.iterdir()),
    "thread": in_thread,
    "answer": lambda: (ours.sendall(b"x"), theirs.recv(1)),
}
answers = {name: outcome(action) for name, action in actions.items()}
answers["trace"] = "done" if ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0 else "PermissionError"
print(json.dumps(answers))
"""
ALLOWED = {"read", "list", "thread", "answer"}


def test_a_process_with_the_filter_reads_and_answers_and_nothing_else(tmp_path):
    (tmp_path / "there").write_text("kept")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    if done.stdout.strip() == "no filter":
        pytest.skip("no libseccomp here, or a container that forbids filters")
    answers = json.loads(done.stdout)
    assert {name for name, answer in answers.items() if answer == "done"} == ALLOWED
    assert {answer for name, answer in answers.items() if name not in ALLOWED} == {"PermissionError"}
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_text() == "kept"


def test_where_the_library_is_missing_there_is_no_filter(tmp_path):
    (tmp_path / "libseccomp.so.2").touch()
    program = "from deepfakestream.host.system_calls import *; print(system_call_filter())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.strip() == "None"
    assert system_call_filter() is None or len(system_call_filter()) % 8 == 0
