"""Train causal LMs on star graphs: `accelerate launch recipes/finetune.py --help`."""

import sys

try:
    from hf_nextfail.commands.finetune import main
except KeyboardInterrupt:  # this takes seconds
    print("finetune.py: error: interrupted; nothing was begun", file=sys.stderr)
    raise SystemExit(130) from None

if __name__ == "__main__":
    main()
