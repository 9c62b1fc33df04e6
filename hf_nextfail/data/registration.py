"""Make `load_dataset("nextfail/<task>", ...)` and `load_dataset("FILE.py:Class", ...)` find our builder.

`datasets` has no plug-in point. All its loaders call the function `dataset_module_factory` through their module, so
that is where a name of ours is answered. This is private to `datasets`: `tests/test_registration.py` holds a canary.
"""

import functools
from pathlib import Path

import datasets.inspect
import datasets.load
from datasets.load import BuilderConfigsParameters, DatasetModule

from hf_nextfail.data import builder as dataset_builder
from hf_nextfail.data.code_digest import code_digest
from hf_nextfail.own_code import is_reference, load_class
from hf_nextfail.tasks import TASKS, Task
from hf_nextfail.tasks.base import check_task_class

NAMESPACE = "nextfail"
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
        raise ValueError(f"there is no dataset {dataset_name}, only {', '.join(known)}")
    return TASKS[name]


def task_class(dataset_name: str) -> type[Task] | None:
    """Return the task that `nextfail/<task>` names, or a reference to one of your own, which is imported; else `None`.

    Raises:
        ValueError: in one line, if it names no task of ours, or its file cannot be loaded.
    """
    if dataset_name in TASKS and not Path(dataset_name).exists():
        raise ValueError(f"there is no dataset {dataset_name} (did you mean '{NAMESPACE}/{dataset_name}'?)")
    if not is_reference(dataset_name):
        return task_called(dataset_name)
    found = load_class(dataset_name, Task)
    check_task_class(found)
    if TASKS.get(found.name, found) is not found:
        raise ValueError(f"{dataset_name} is called {found.name!r}, as one of ours is: give it a name of its own")
    return found


def builder_module(task: type[Task]) -> DatasetModule:
    """Describe our builder of a task in the form that `datasets` expects of a repository it has looked at."""
    check_task_class(task)  # which anybody may have put into `TASKS`
    grid = task.grid or (task().config_name,)
    # These are listed and never generated, and a small space has no rows of some splits.
    configs = [dataset_builder.TaskConfig.resolve(task, name, num_validation=0, num_test=0) for name in grid]
    return DatasetModule(
        dataset_builder.__name__,
        code_digest(task),
        {"dataset_name": task.name, "repo_id": f"{NAMESPACE}/{task.name}" if task.name in TASKS else None},
        BuilderConfigsParameters(
            builder_configs=configs, default_config_name=dataset_builder.DefaultConfigName(grid[0])
        ),
    )


def register() -> None:
    """Let `datasets` generate `nextfail/<task>` here; done by `import hf_nextfail`.

    So is a task of your own, by `load_dataset("FILE.py:Class", ...)` or `load_dataset("package.module:Class", ...)`.
    `revision=`, `data_files=`, `data_dir=` and `hf://datasets/nextfail/<task>` still mean the files on the Hub.
    """
    original = datasets.load.dataset_module_factory
    if hasattr(original, "nextfail_original"):
        return

    @functools.wraps(original)
    def dataset_module_factory(path, revision=None, *args, data_dir=None, data_files=None, **kwargs):
        namespace, _, task_name = str(path).partition("/")
        on_the_hub = revision or data_dir or data_files
        if not on_the_hub and ((namespace == NAMESPACE and task_name in TASKS) or is_reference(str(path))):
            return builder_module(task_class(str(path)))
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
