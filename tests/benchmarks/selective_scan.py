"""Time a training step of Mamba on a CPU, with our selective scan, with that of transformers, and of a GPT-2.

    python tests/benchmarks/selective_scan.py [--length 40] [--batch-size 64]

All have the same width and depth. A step is forward and backward; times are of the processor, the best of several
rounds in which the ways take turns.
"""

import argparse
import os
import platform
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel, MambaConfig, MambaForCausalLM, PreTrainedModel
from transformers.models.mamba import modeling_mamba

from hf_nextfail.models.selective_scan import use_fast_selective_scan

Gradients = dict[str, torch.Tensor]


def milliseconds_a_step(model: PreTrainedModel, input_ids: torch.Tensor) -> float:
    """Run forward and backward, and leave the gradients."""
    model.zero_grad()
    began = time.process_time()
    model(input_ids=input_ids, labels=input_ids).loss.backward()
    return (time.process_time() - began) * 1e3


def gradients(model: PreTrainedModel) -> Gradients:
    """Copy what the last step left."""
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def largest_difference(ours: Gradients, stock: Gradients) -> float:
    """Return the largest, relative to the largest number of the same gradient."""
    return max(((ours[name] - stock[name]).abs().max() / stock[name].abs().max()).item() for name in stock)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hidden-size", type=int, default=128, help="width of the models")
    parser.add_argument("--layers", type=int, default=4, help="depth of the models")
    parser.add_argument("--state-size", type=int, default=16, help="numbers of state for each channel of Mamba")
    parser.add_argument("--length", type=int, default=40, help="tokens of a row")
    parser.add_argument("--batch-size", type=int, default=64, help="rows of a step")
    parser.add_argument("--vocab-size", type=int, default=60, help="tokens to choose from")
    parser.add_argument("--rounds", type=int, default=5, help="steps of each way; that of transformers takes two")
    parser.add_argument("--threads", type=int, default=1, help="of torch; times are those of all threads together")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    transformers.logging.set_verbosity_error()

    torch.manual_seed(0)
    common = {"vocab_size": arguments.vocab_size, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    sizes = {"hidden_size": arguments.hidden_size, "num_hidden_layers": arguments.layers}
    mamba = MambaForCausalLM(MambaConfig(state_size=arguments.state_size, **sizes, **common)).train()
    gpt2 = GPT2LMHeadModel(
        GPT2Config(num_attention_heads=4, max_position_embeddings=arguments.length, **sizes, **common)
    ).train()
    input_ids = torch.randint(0, arguments.vocab_size, (arguments.batch_size, arguments.length))

    stock_scan = modeling_mamba.mamba_selective_scan
    use_fast_selective_scan()
    fast_scan = modeling_mamba.mamba_selective_scan
    assert fast_scan is not stock_scan, "mamba_ssm is installed: its kernels are used"
    ways = {
        "GPT-2": (gpt2, fast_scan),
        "Mamba, our scan": (mamba, fast_scan),
        "Mamba, transformers' scan": (mamba, stock_scan),
    }
    milliseconds: dict[str, list[float]] = {name: [] for name in ways}
    left: dict[str, Gradients] = {}
    for done in range(arguments.rounds):
        for name, (model, scan) in ways.items():
            if scan is fast_scan or done < 2:
                modeling_mamba.mamba_selective_scan = scan
                milliseconds[name].append(milliseconds_a_step(model, input_ids))
                left[name] = gradients(model)
    best = {name: min(times) for name, times in milliseconds.items()}

    print(
        f"hidden {arguments.hidden_size}, {arguments.layers} layers, state {arguments.state_size}, "
        f"{arguments.batch_size} rows of {arguments.length} tokens, {arguments.threads} thread(s), "
        f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}"
    )
    print(f"\n{'way':<28}{'parameters':>12}{'ms a step':>12}{'of GPT-2':>12}{'of ours':>12}")
    for name, (model, _) in ways.items():
        to_gpt2, to_ours = best[name] / best["GPT-2"], best[name] / best["Mamba, our scan"]
        print(f"{name:<28}{model.num_parameters():>12,}{best[name]:>12.0f}{to_gpt2:>12.2f}{to_ours:>12.2f}")
    difference = largest_difference(left["Mamba, our scan"], left["Mamba, transformers' scan"])
    print(f"\nLargest difference of a gradient, relative to its largest number: {difference:.1e}")


if __name__ == "__main__":
    main()
