"""What the demo prints: headings with the time, sentences, and progress while something takes long."""

from __future__ import annotations

import textwrap
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

from infra.demo.flows import TaskState

WIDTH = 96
_TICK_S = 0.5


class Story:
    """Tells a reader what happens, chapter by chapter; keeps how long each took."""

    def __init__(self, stream: TextIO, num_chapters: int) -> None:
        self._stream = stream
        self._num_chapters = num_chapters
        self._begun = time.monotonic()
        self._open: tuple[str, float] | None = None
        self.seconds: dict[str, float] = {}

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun

    def chapter(self, title: str, about: str) -> None:
        """Close the chapter before and print the heading of the next, with a sentence about it."""
        self.close()
        self._open = (title, time.monotonic())
        number = f"[{len(self.seconds) + 1}/{self._num_chapters}]"
        clock = f"{self.elapsed_s:.0f} s"
        self._write(f"\n{number} {title} {'─' * max(2, WIDTH - len(number + title + clock) - 3)} {clock}")
        self.say(about)

    def close(self) -> None:
        """Note how long the open chapter took."""
        if self._open is not None:
            title, begun = self._open
            self.seconds[title] = time.monotonic() - begun
            self._open = None

    def say(self, text: str) -> None:
        """Print a sentence or several, wrapped."""
        for paragraph in text.splitlines():
            self._write(textwrap.fill(paragraph, WIDTH, break_long_words=False, break_on_hyphens=False))

    def show(self, text: str) -> None:
        """Print what a step reported, indented and as it is."""
        for line in text.splitlines():
            self._write(f"    {line}")

    @contextmanager
    def waiting(self, description: str) -> Iterator[None]:
        """Show on a terminal that time passes, until the block ends."""
        done = threading.Event()

        def tick(bar: tqdm) -> None:  # type: ignore[type-arg]
            while not done.wait(_TICK_S):
                bar.refresh()

        with tqdm(
            desc=f"    {description}", bar_format="{desc}: {elapsed}", leave=False, disable=None
        ) as bar:
            thread = threading.Thread(target=tick, args=(bar,), name="demo-clock", daemon=True)
            thread.start()
            try:
                yield
            finally:
                done.set()
                thread.join()

    def watch(self, tasks_over_time: Iterable[list[TaskState]], *, num_tasks: int, what: str) -> int:
        """Show a flow run's tasks as they end, with their times; return how many ended."""
        num_shown = 0
        layout = "{desc}: {n_fmt}/{total_fmt} |{bar:20}| {elapsed}"
        with tqdm(desc=f"    {what}", total=num_tasks, bar_format=layout, leave=False, disable=None) as bar:
            for tasks in tasks_over_time:
                ended = [task for task in tasks if task.state != "RUNNING"]
                for task in ended[num_shown:]:
                    bar.clear()
                    self._write(f"    {task.name:10} {task.state.lower():10} {task.seconds:6.1f} s")
                num_shown = len(ended)
                running = [task.name for task in tasks if task.state == "RUNNING"]
                bar.set_description_str(f"    {what}{f': {running[0]}' if running else ''}", refresh=False)
                bar.n = min(num_shown, num_tasks)
                bar.refresh()
        return num_shown

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()
