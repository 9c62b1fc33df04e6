"""Every test runs offline, with Hugging Face caches of its own that are gone afterwards."""

import os
import shutil
import tempfile

# `datasets` and `huggingface_hub` read these when they are first imported, so they are set before any of our imports.
# pytest-xdist loads this file in every worker: each has its own folder.
HF_HOME = tempfile.mkdtemp(prefix="hf_nextfail-tests-")
os.environ["HF_HOME"] = HF_HOME
for folder in ("HF_DATASETS_CACHE", "HF_HUB_CACHE"):  # they would win over HF_HOME
    os.environ.pop(folder, None)
for switch in (
    "HF_HUB_OFFLINE",
    "HF_DATASETS_OFFLINE",
    "HF_HUB_DISABLE_TELEMETRY",
    "HF_HUB_DISABLE_PROGRESS_BARS",
    "HF_DATASETS_DISABLE_PROGRESS_BARS",
):
    os.environ[switch] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # the workers of pytest-xdist share the cores


def pytest_unconfigure():
    shutil.rmtree(HF_HOME, ignore_errors=True)
