"""The DVC adapter: runs DVC as a subprocess of this Python with a captured log, and writes its configuration.

Stage commands are `deepfakestream VERB`; the folder of this Python's programs is put in front of `PATH`, so
that they are found although the virtual environment is not activated.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import yaml

from deepfakestream.data.versioning.remotes import MAX_ATTEMPTS, RemoteAddress, explain_failure
from deepfakestream.errors import DataError
from deepfakestream.host.git import ask_git
from deepfakestream.host.process_tree import Listener, program_path, run_whole
from deepfakestream.host.whole_files import replacing

LOCAL_REMOTE = "local"
SHARED_REMOTE = "shared"
REMOTE_DIR = "work/dvc-remote"
POINTER_FILE = "data.dvc"
CODE_LINK = "src/deepfakestream"
"""Where `dvc.yaml` looks for the code that stages depend on."""
LOCKS_FILE = ".dvc/tmp/rwlock"
"""Which paths DVC's commands hold, as JSON."""
HELD_FILE = "work/data-version"
"""Digest of the version that this machine recorded or fetched last."""


class DvcRepo:
    """One DVC repository: a workspace folder with `.dvc/`."""

    def __init__(
        self, root: Path, variables: Mapping[str, str] | None = None, listener: Listener | None = None
    ) -> None:
        """Bind the folder.

        Args:
            root: the workspace.
            variables: environment variables that its stages get besides those of this process.
            listener: gets every line that stages and DVC print, while they run.
        """
        self._listener = listener
        self._root = root.resolve()
        self._variables = dict(variables or {})

    @property
    def exists(self) -> bool:
        """Whether the folder is a DVC repository."""
        return (self._root / ".dvc").is_dir()

    @property
    def is_in_git(self) -> bool:
        """Whether git tracks the folder, whatever DVC is configured to; an ignored folder is not tracked."""
        is_ignored = ask_git(self._root, "check-ignore", "--quiet", str(self._root)) is not None
        return not is_ignored and ask_git(self._root, "rev-parse", "--show-toplevel") is not None

    def init(self) -> None:
        """Make the folder a DVC repository, inside git, inside an ignored folder of it, or without git.

        Analytics and the update check are off. A repository without git takes up git once there is one.
        """
        is_in_git = self.is_in_git
        if self.exists:
            if is_in_git:
                with self._edit_config() as config:
                    config["core"].pop("no_scm", None)
                ignored = self._root / ".dvc" / ".gitignore"
                if not ignored.exists():
                    ignored.write_text("/config.local\n/tmp\n/cache\n", encoding="utf-8")
            return
        flags = [] if is_in_git else ["--no-scm"]
        if is_in_git and ask_git(self._root, "rev-parse", "--show-toplevel") != str(self._root):
            flags = ["--subdir"]
        self._run("init", *flags)
        with self._edit_config() as config:
            config["core"] |= {"analytics": "false", "check_update": "false", "autostage": "false"}

    def init_local_remote(self) -> None:
        """Make a folder under `work/` the default remote."""
        from dvc.config_schema import RelPath

        self._set_remote(LOCAL_REMOTE, {"url": RelPath(str(self._root / REMOTE_DIR))})

    def init_remote(self, address: RemoteAddress) -> None:
        """Make a shared place the default remote, in place of the shared one that there was."""
        self._set_remote(SHARED_REMOTE, {"url": address.url, **address.options})

    def remote(self) -> str:
        """Return the address of the default remote; empty where there is none."""
        from dvc.config import Config

        config = Config(str(self._root / ".dvc"))
        name = config["core"].get("remote", "")
        return str(config["remote"].get(name, {}).get("url", ""))

    def _set_remote(self, name: str, options: dict[str, str]) -> None:
        with self._edit_config() as config:
            config["remote"][name] = options
            config["core"]["remote"] = name

    def _edit_config(self) -> AbstractContextManager[dict[str, Any]]:
        from dvc.config import Config

        editing: AbstractContextManager[dict[str, Any]] = Config(str(self._root / ".dvc")).edit()
        return editing

    def add_data(self) -> None:
        """Record the whole of `data/` as a version in `data.dvc`."""
        self._run("add", "data")
        self._note_held()

    def push(self) -> None:
        """Copy what the version needs to the default remote, and the outputs of stages.

        Raises:
            DataError: the remote cannot be written; nothing here has changed, and the call may be repeated.
        """
        self._run("push")

    def pull(self) -> None:
        """Fetch `data/` from the default remote, and the outputs of those stages that were pushed.

        Raises:
            DataError: no version was recorded, the remote cannot be read, or it lacks the version.
        """
        self._run("pull", POINTER_FILE)
        self._note_held()
        self._run("pull", "--allow-missing")

    def repro(self, stage: str | None = None, *, force: bool = False) -> bool:
        """Run what is out of date, up to a stage or all of it; return whether anything ran.

        Args:
            stage: name; None: all.
            force: run what is up to date too.

        Raises:
            DataError: a stage failed; the message is the stage's own.
        """
        flags = ["--force"] if force else []
        stages = [stage] if stage else []
        output = self._run("--wait-for-lock", "repro", *flags, *stages, show_stderr=True)
        return "Running stage" in output

    def data_digest(self) -> str | None:
        """Return the digest of the version of `data/`, or None before the first ingestion.

        Raises:
            DataError: `data.dvc` names none, e.g. because it holds both sides of a merge.
        """
        pointer = self._root / POINTER_FILE
        if not pointer.exists():
            return None
        try:
            content = yaml.safe_load(pointer.read_text(encoding="utf-8"))
            digest: str = content["outs"][0]["md5"]
        except (yaml.YAMLError, UnicodeDecodeError, KeyError, IndexError, TypeError) as error:
            raise DataError(
                f"{pointer}: names no version of data/; keep one side of the merge, or restore it from git"
            ) from error
        return digest

    def require_named_data(self) -> None:
        """Stop where somebody else's `data.dvc` came in, e.g. by `git pull`, and `data/` is not that version.

        Looks into `data/` only where `data.dvc` is not the one that this machine wrote or fetched last.

        Raises:
            DataError: what is done now would be done to another dataset than the one that `data.dvc` names.
        """
        named, held = self.data_digest(), self._root / HELD_FILE
        if named is None or not held.exists() or held.read_text(encoding="utf-8") == named:
            return
        if not (self._root / "data").exists():
            return
        if self._digest_of_data() != named:
            raise DataError(
                f"{self._root / POINTER_FILE}: names another version than data/ holds, as after "
                "'git pull'; run 'deepfakestream data pull' to get it, or 'dvc add data' to keep what is here"
            )
        self._note_held()

    def _digest_of_data(self) -> str:
        from dvc.repo import Repo

        with Repo(str(self._root)) as repo:
            (data,) = repo.stage.load_one(str(self._root / POINTER_FILE)).outs
            digest: str = data.get_hash().value
        return digest

    def _note_held(self) -> None:
        with replacing(self._root / HELD_FILE) as partial:
            partial.write_text(self.data_digest() or "", encoding="utf-8")

    def status(self) -> str:
        """Return DVC's own account of what is out of date."""
        return self._run("status").strip()

    def _run(self, *arguments: str, show_stderr: bool = False) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        # On a terminal the stages' progress bars go straight to it; elsewhere the log is kept to quote.
        listener = self._listener if show_stderr else None
        shown = show_stderr and listener is None and sys.stderr.isatty()
        bounds = {"AWS_MAX_ATTEMPTS": MAX_ATTEMPTS, "AWS_RETRY_MODE": "standard"}
        own = self._variables or {"DEEPFAKESTREAM_WORKSPACE": "."}
        environment = {**bounds, **os.environ, **own, "PATH": program_path()}
        stderr = None if shown else subprocess.PIPE
        done = run_whole(command, cwd=self._root, env=environment, stderr=stderr, listener=listener)
        if done.returncode:
            log = done.stderr or done.stdout or ""
            cause = explain_failure(log) if arguments[0] in {"push", "pull"} else None
            raise DataError(f"{self.remote()}: {cause}" if cause else _explain(self._root, arguments, log))
        return done.stdout


def folder_digest(md5_of: Mapping[str, str]) -> str:
    """Return the digest that DVC gives to a folder of these files: md5 by path relative to it."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    tree: Any = Tree()  # type: ignore[no-untyped-call]
    for path, md5 in md5_of.items():
        tree.add(tuple(path.split("/")), None, HashInfo("md5", md5))
    tree.digest()
    return str(tree.oid)


def _is_unreadable(locks: Path) -> bool:
    try:
        return not isinstance(json.loads(locks.read_bytes()), dict)
    except OSError:
        return False
    except ValueError:
        return True


def _explain(root: Path, arguments: tuple[str, ...], log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    own = [line.removeprefix("deepfakestream: ") for line in lines if line.startswith("deepfakestream: ")]
    if own:
        return own[-1]
    errors = [line for line in lines if line.startswith("ERROR:")]
    last = [*lines, *errors][-1] if lines else "it printed nothing"
    if "RWLock-file" in last or _is_unreadable(root / LOCKS_FILE):
        return (
            f"{root / LOCKS_FILE}: damaged, as after a power cut, so DVC does not start; "
            "delete this file where no DVC command runs in the workspace, and repeat the command"
        )
    holders = [line for line in lines if line.startswith("(PID ")]
    if "is busy, it is being blocked by" in last and holders:
        return (
            f"{root}: another DVC command is at work here, {'; '.join(holders)}; "
            f"wait for it, or delete {LOCKS_FILE} where no such process runs"
        )
    if "No such file" in last and f"{root}/{CODE_LINK}/" in last:
        return f"{root}: dvc.yaml is of another release ({last}); run 'deepfakestream init' there"
    return f"{root}: 'dvc {' '.join(arguments)}' failed ({last}); run it there to see the whole log"
