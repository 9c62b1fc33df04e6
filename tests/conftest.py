"""Every test runs against nothing but loopback, with Hugging Face caches of its own that are gone afterwards.

A test that asks for `hub` has a Hub to push to and to load from; all others run offline.
"""

import contextlib
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback_hub.guard import sitecustomize
from loopback_hub.server import Account, Hub
from warm_python import WarmPython

# These read the environment when they are first imported, so it is complete before that.
imported = {"huggingface_hub", "datasets", "transformers", "evaluate", "peft"} & set(sys.modules)
assert not imported, f"imported before HF_ENDPOINT was set: {sorted(imported)}"

GUARD = Path(sitecustomize.__file__).parent
# pytest-xdist loads this file in every worker: each has its own folder and its own Hub.
SESSION = Path(tempfile.mkdtemp(prefix="hf_nextfail-tests-"))
TOKENS = {
    "hf_test": Account("nextfail"),
    "hf_read": Account("nextfail", "read"),
    "hf_other": Account("somebody"),
}
LOOPBACK_HUB = Hub(SESSION / "hub", TOKENS)
running = contextlib.ExitStack()

os.environ |= {
    "HF_ENDPOINT": running.enter_context(LOOPBACK_HUB.serve()),
    "HF_HOME": str(SESSION / "home"),
    "HF_TOKEN": "hf_test",
    # The fixture `connection` has the last word on these, for one test at a time.
    "HF_HUB_OFFLINE": "0",
    "HF_DATASETS_OFFLINE": "0",
    "TRANSFORMERS_OFFLINE": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
    "OMP_NUM_THREADS": "1",  # the workers of pytest-xdist share the cores
    "LOOPBACK_GUARD_LOG": str(SESSION / "refused_lookups"),
}
for name in (  # they would win over what is set above
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_DATASETS_CACHE",
    "HF_MODULES_CACHE",
    "HF_ASSETS_CACHE",
    "HF_XET_CACHE",
    "HF_TOKEN_PATH",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_HUB_DISABLE_XET",
    "HUGGINGFACE_CO_STAGING",
    "LOOPBACK_GUARD_HIDE",
):
    os.environ.pop(name, None)
# In a worker the folder is there already: it has the environment of the process that started it.
inherited = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder not in ("", str(GUARD))]
os.environ["PYTHONPATH"] = os.pathsep.join([str(GUARD), *inherited])
sitecustomize.install()


def pytest_collection_finish():
    """Put aside what all tests have imported: every training collects garbage, and looked through all of that."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    running.close()
    shutil.rmtree(SESSION, ignore_errors=True)


@pytest.fixture(autouse=True)
def connection(request, monkeypatch) -> None:
    """Connect the tests that ask for the Hub and no others, in process and in children."""
    import datasets
    import huggingface_hub

    offline = "hub" not in request.fixturenames
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", offline)
    monkeypatch.setenv("HF_HUB_OFFLINE", str(int(offline)))
    # Every `load_dataset` would look up "datasets-server." + the host of the Hub, which the guard refuses.
    monkeypatch.setattr(datasets.config, "USE_PARQUET_EXPORT", False)


@pytest.fixture(autouse=True)
def sketches(monkeypatch) -> None:
    """Sketch the pictures of trainings in tests, which take longer to draw than these train.

    Trainings in fixtures of modules, and in processes of their own, draw them: tests that look at pictures use these.
    """
    if run := sys.modules.get("hf_nextfail.runs.run"):
        from sketched_pictures import sketch_pictures

        monkeypatch.setattr(run, "draw_pictures", sketch_pictures)


@contextlib.contextmanager
def uploads_by(mode: str) -> Iterator[Hub]:
    """Empty the Hub and let clients upload to it in one of the two ways; their back-off does not sleep."""
    import huggingface_hub

    LOOPBACK_HUB.reset()
    LOOPBACK_HUB.upload_mode = mode
    # What earlier tests loaded must not hide what this one is refused.
    shutil.rmtree(huggingface_hub.constants.HF_HUB_CACHE, ignore_errors=True)
    huggingface_hub.HfFileSystem.clear_instance_cache()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", mode != "xet")
        patch.setenv("HF_HUB_DISABLE_XET", str(int(mode != "xet")))
        patch.setattr(huggingface_hub.utils._http, "time", types.SimpleNamespace(sleep=skip_the_wait))
        yield LOOPBACK_HUB


def skip_the_wait(seconds: float) -> None:
    pass


@pytest.fixture(scope="session")
def why_not_xet() -> str | None:
    """Upload a few bytes by Xet and read them back: how this works is not documented and may change."""
    from huggingface_hub import HfApi

    try:
        import hf_xet  # noqa: F401
    except ImportError:
        return "hf_xet is not installed"
    probe = b"\0probe" * 100
    with uploads_by("xet") as hub:
        try:
            HfApi().create_repo("nextfail/probe")
            HfApi().upload_file(path_or_fileobj=probe, path_in_repo="probe.bin", repo_id="nextfail/probe")
            arrived = hub.files("model", "nextfail/probe").get("probe.bin") == probe
            by_xet = any("xet-write-token" in request["path"] for request in hub.log)
        except Exception as error:
            return f"an upload to the local:// store of hf_xet fails: {error!r}"
    return None if arrived and by_xet else "an upload to the local:// store of hf_xet does not arrive"


@pytest.fixture(params=["lfs"])
def hub(request) -> Iterator[Hub]:
    """An empty Hub, whose `upload_mode` is "lfs" or "xet".

    Xet is what users have by default, and another path through huggingface_hub: the files of tests that are about
    uploads themselves ask for both. LFS works everywhere, and its uploads can be made to fail.
    """
    if request.param == "xet" and (reason := request.getfixturevalue("why_not_xet")):
        pytest.skip(reason)
    with uploads_by(request.param) as hub:
        yield hub
    hub.faults.clear()


@pytest.fixture(scope="session")
def warm_python() -> Iterator[WarmPython]:
    server = WarmPython()
    yield server
    server.close()


@pytest.fixture
def fresh(tmp_path_factory, warm_python) -> Callable[..., subprocess.CompletedProcess]:
    """A function that runs Python as on another machine: a new process in an empty folder, nothing downloaded yet."""

    def run(
        code_or_argv: str | list[str],
        *,
        package: bool = True,
        check: bool = True,
        warm: bool = True,
        cwd: Path | None = None,
        **env: str | None,
    ) -> subprocess.CompletedProcess:
        """Run code, or the arguments of `python`.

        Args:
            package (`bool`, *optional*, defaults to `True`): without it `hf_nextfail` is not installed there.
            check (`bool`, *optional*, defaults to `True`): fail, with the end of stderr, when the process does.
            warm (`bool`, *optional*, defaults to `True`): begin where torch and others are imported, for speed.
            cwd (`Path`, *optional*): run there instead of in an empty folder.
            env (`str`, *optional*): variables to set, or with `None` to remove.
        """
        machine = tmp_path_factory.mktemp("machine")
        (machine / "work").mkdir()
        variables = {**os.environ, "HF_HOME": str(machine / "home")}
        if not package:
            variables["LOOPBACK_GUARD_HIDE"] = "hf_nextfail"
        variables |= env
        variables = {name: value for name, value in variables.items() if value is not None}
        argv = ["-c", code_or_argv] if isinstance(code_or_argv, str) else [*map(str, code_or_argv)]
        cwd = cwd or machine / "work"
        if warm:
            done = warm_python.run(argv, cwd, variables, machine)
        else:
            done = subprocess.run(
                [sys.executable, *argv], env=variables, cwd=cwd, capture_output=True, text=True, timeout=300
            )
        assert not check or done.returncode == 0, done.stderr[-3000:]
        return done

    return run


@pytest.fixture
def refused_lookups() -> Callable[[], list[str]]:
    """A function that lists the hosts that this test and its children looked up and were refused."""
    log = Path(os.environ["LOOPBACK_GUARD_LOG"])
    log.unlink(missing_ok=True)

    def read() -> list[str]:
        return log.read_text(encoding="utf-8").split() if log.exists() else []

    return read
