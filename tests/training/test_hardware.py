"""What a process gets of its machine."""

import platform
import subprocess
import sys

import pytest

#: Takes 50 MB and frees them, again and again, and prints the pages of 4 kB that the system had to clear for that.
TAKE_AND_FREE = """
import resource, torch
from hf_nextfail.training.hardware import keep_freed_memory
if {kept}:
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(50_000_000, dtype=torch.uint8)
before = faults()
for _ in range(10):
    torch.ones(50_000_000, dtype=torch.uint8)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_kept_for_what_comes_next():
    asked = {
        kept: int(subprocess.check_output([sys.executable, "-c", TAKE_AND_FREE.format(kept=kept)], text=True))
        for kept in (False, True)
    }
    assert asked[False] > 100_000
    assert asked[True] < asked[False] / 5  # some are of the first time
