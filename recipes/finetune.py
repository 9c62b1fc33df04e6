"""Train causal LMs on star graphs: `accelerate launch recipes/finetune.py --help`."""

from hf_nextfail.commands.finetune import main

if __name__ == "__main__":
    main()
