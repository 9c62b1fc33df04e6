"""Where numbers come from: versions, the commit, the digest of the weights."""

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from hf_nextfail.metrics import METRICS_VERSION
from hf_nextfail.tasks import Task
from hf_nextfail.version import __version__


@cache
def revision() -> str | None:
    """Return the commit of the checkout that this package is run from, `-dirty` if files differ from it."""
    folder = Path(__file__).parent
    try:
        for arguments in (
            ("ls-files", "--error-unmatch", Path(__file__).name),
            ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"),
        ):
            answer = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or an installed package
        return None
    return answer.stdout.strip()


def versions(task: Task | None = None) -> dict[str, str]:
    """Name the versions that numbers depend on: ours, with the commit if any, the task's, Python's, the libraries'."""
    libraries = ("accelerate", "datasets", "numpy", "torch", "transformers")
    return {
        "hf_nextfail": __version__,
        **({} if revision() is None else {"revision": revision()}),
        **({} if task is None else {task.name: task.version}),
        "metrics": METRICS_VERSION,
        "python": platform.python_version(),
        **{library: version(library) for library in libraries},
    }


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of a checkpoint's weights, as they are on disk: equal for equal weights only."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
