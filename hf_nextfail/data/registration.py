"""Make `load_dataset("nextfail/<task>", ...)` find our builder.

`datasets` has no plug-in point. All its loaders call the function `dataset_module_factory` through their module, so
that is where a name of ours is answered. This is private to `datasets`: `tests/test_registration.py` holds a canary.
"""

import functools
import hashlib
import inspect
import sys

import datasets.inspect
import datasets.load
from datasets.load import BuilderConfigsParameters, DatasetModule

from hf_nextfail.data import builder as dataset_builder
from hf_nextfail.tasks import TASKS, Task

NAMESPACE = "nextfail"
#: Every module of this room may change the rows.
TASKS_ROOM = "hf_nextfail.tasks"
# `datasets.inspect` holds the function under a name of its own.
SEAMS = (datasets.load, datasets.inspect)


def task_called(dataset_name: str) -> type[Task] | None:
    """Return the task that `nextfail/<task>` names, `None` for every other dataset.

    Raises:
        ValueError: if it is in our namespace and no task of ours.
    """
    namespace, _, name = dataset_name.partition("/")
    if namespace != NAMESPACE:
        return None
    if name not in TASKS:
        known = [f"{NAMESPACE}/{other}" for other in TASKS]
        raise ValueError(f"there is no dataset {dataset_name}, only {' and '.join(known)}")
    return TASKS[name]


def builder_module(task_name: str) -> DatasetModule:
    """Describe our builder of a task in the form that `datasets` expects of a repository it has looked at."""
    task = TASKS[task_name]
    # The hash is part of the cache folder's name: changed code never meets rows of the code before.
    sources = [dataset_builder, *(sys.modules[name] for name in sorted(sys.modules) if name.startswith(TASKS_ROOM))]
    digest = hashlib.sha256("".join(inspect.getsource(module) for module in sources).encode()).hexdigest()
    configs = [dataset_builder.TaskConfig.resolve(task, name) for name in task.grid]
    return DatasetModule(
        dataset_builder.__name__,
        digest,
        {"dataset_name": task_name, "repo_id": f"{NAMESPACE}/{task_name}"},
        BuilderConfigsParameters(
            builder_configs=configs, default_config_name=dataset_builder.DefaultConfigName(task.grid[0])
        ),
    )


def register() -> None:
    """Let `datasets` generate `nextfail/<task>` here; done by `import hf_nextfail`.

    `revision=`, `data_files=`, `data_dir=` and `hf://datasets/nextfail/<task>` still mean the files on the Hub.
    """
    original = datasets.load.dataset_module_factory
    if hasattr(original, "nextfail_original"):
        return

    @functools.wraps(original)
    def dataset_module_factory(path, revision=None, *args, data_dir=None, data_files=None, **kwargs):
        namespace, _, task_name = str(path).partition("/")
        if namespace == NAMESPACE and task_name in TASKS and not (revision or data_dir or data_files):
            return builder_module(task_name)
        return original(path, revision, *args, data_dir=data_dir, data_files=data_files, **kwargs)

    dataset_module_factory.nextfail_original = original
    for seam in SEAMS:
        seam.dataset_module_factory = dataset_module_factory


def unregister() -> None:
    """Undo `register`: `nextfail/<task>` means the dataset on the Hub again."""
    for seam in SEAMS:
        seam.dataset_module_factory = getattr(
            seam.dataset_module_factory, "nextfail_original", seam.dataset_module_factory
        )
