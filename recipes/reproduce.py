"""Run a grid of trainings: `python recipes/reproduce.py --help`."""

import sys

from hf_nextfail.commands.main import main

if __name__ == "__main__":
    main(["reproduce", *sys.argv[1:]])
