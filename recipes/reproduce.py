"""Run a grid of trainings: `python recipes/reproduce.py --help`."""

import sys

try:
    from hf_nextfail.commands.main import main
except KeyboardInterrupt:  # this takes a second
    print("reproduce.py: error: interrupted; nothing was begun", file=sys.stderr)
    raise SystemExit(130) from None

if __name__ == "__main__":
    main(["reproduce", *sys.argv[1:]])
