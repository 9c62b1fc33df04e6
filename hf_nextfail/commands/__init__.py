"""The command line."""

import os

# How often an idle thread of libgomp looks for work before it sleeps: 300,000 times by default, through which it takes
# the core from a thread that has work, where another program needs the second one. Read when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
