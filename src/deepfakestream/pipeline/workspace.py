"""Making a workspace: a folder with params.yaml, dvc.yaml and a DVC repository, in which every step runs.

The templates are the project's own `params.yaml`, `dvc.yaml` and `.dvcignore`: the package holds links to
them. The stage graph names source folders as `src/deepfakestream/...`; a workspace elsewhere gets a link of
that name to the installed package, so that the graph is the same file everywhere and DVC sees new code.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import deepfakestream
from deepfakestream.data.ingestion.recorded_set import RecordedSet
from deepfakestream.data.versioning.remotes import RemoteAddress
from deepfakestream.data.versioning.repository import CODE_LINK, DvcRepo
from deepfakestream.errors import DataError
from deepfakestream.host.whole_files import replacing

GRAPH_FILE = "dvc.yaml"
TEMPLATES = {"params.yaml": "params.yaml", GRAPH_FILE: "dvc.yaml.in", ".dvcignore": "dvcignore.in"}
"""File of a workspace to its template in `pipeline/templates/`."""

_GITIGNORE = (
    "# data is versioned by DVC, the rest is made again\n/data/\n/artifacts/\n/work/\n/src/deepfakestream\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceReport:
    """What was made and what was there."""

    directory: Path
    created: list[str]
    kept: list[str]
    lacks_its_data: bool
    """Whether git brought a version of the data that is not here yet, as in a clone."""
    has_other_graph: bool
    """Whether `dvc.yaml` is not that of this release: somebody's own, or made by another release."""
    is_in_git: bool
    """Whether git tracks the folder."""

    def describe(self) -> str:
        """Return the report as a few lines."""
        lines = [
            f"workspace {self.directory}: "
            + (f"made {', '.join(self.created)}" if self.created else "complete")
        ]
        if self.kept:
            lines.append(f"kept as they were: {', '.join(self.kept)}")
        if self.has_other_graph:
            lines.append(
                f"{GRAPH_FILE} is not this release's: move it away and run init again, then put back what is "
                "your own"
            )
        if not self.is_in_git:
            lines.append(
                "not in git: versions of data and parameters have no history, 'dvc exp' does not run, and no "
                "run names a commit; if you want these, run git init here and then init again"
            )
        get_data = "data pull" if self.lacks_its_data else "ingest SOURCE"
        lines.append(f"next: cd {shlex.quote(str(self.directory))}; deepfakestream {get_data}; dvc repro")
        return "\n".join(lines)


def create(directory: Path, *, remote: RemoteAddress | None = None) -> WorkspaceReport:
    """Make a workspace, or complete one; files that are there are kept.

    Args:
        directory: folder of the workspace.
        remote: where versions of the data are pushed to, also from now on where the workspace is there
            already; default: a folder in `work/`.

    Raises:
        DataError: the path is a file or cannot be made, or DVC cannot make a repository there.
    """
    if directory.exists() and not directory.is_dir():
        raise DataError(f"{directory}: is a file; give a folder for the workspace")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{directory}: cannot be made ({error.strerror}); give another folder") from error
    created: list[str] = []
    kept: list[str] = []
    for name, content in ({name: template(name) for name in TEMPLATES} | {".gitignore": _GITIGNORE}).items():
        path = directory / name
        (kept if path.exists() else created).append(name)
        if not path.exists():
            with replacing(path) as partial:
                partial.write_text(content, encoding="utf-8")
    (created if _link_code(directory) else kept).append(CODE_LINK)
    (created if _init_dvc(DvcRepo(directory), remote) else kept).append(".dvc")
    return WorkspaceReport(
        directory=directory,
        created=created,
        kept=kept,
        lacks_its_data=RecordedSet(directory, directory / "data").is_away,
        is_in_git=DvcRepo(directory).is_in_git,
        has_other_graph=(directory / GRAPH_FILE).read_text(encoding="utf-8") != template(GRAPH_FILE),
    )


def _init_dvc(repo: DvcRepo, remote: RemoteAddress | None) -> bool:
    is_new = not repo.exists
    repo.init()
    if remote:
        repo.init_remote(remote)
    elif is_new:
        repo.init_local_remote()
    return is_new or remote is not None


def template(name: str) -> str:
    """Return the text of a workspace's file as the package carries it."""
    return (Path(__file__).parent / "templates" / TEMPLATES[name]).read_text(encoding="utf-8")


def _link_code(directory: Path) -> bool:
    """Link the installed package into the workspace; a link to another installation is replaced."""
    package = Path(deepfakestream.__file__).resolve().parent
    link = directory / CODE_LINK
    if link.exists() and link.resolve() == package:
        return False
    if link.exists() and not link.is_symlink():
        raise DataError(f"{link}: is not the running deepfakestream; move it away")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(package, target_is_directory=True)
    return True
