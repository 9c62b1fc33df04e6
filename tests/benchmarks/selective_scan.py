"""A training step of Mamba on a CPU, with our selective scan and with that of transformers, and of a GPT-2.

All have the same width and depth. A step is forward and backward; times are of the processor. In a process of its own:
see `Child`.
"""

import time
from collections.abc import Callable

import torch
import transformers
from measuring import Figure, Parent, Settings, Table, alternate
from transformers import GPT2Config, GPT2LMHeadModel, MambaConfig, MambaForCausalLM, PreTrainedModel
from transformers.models.mamba import modeling_mamba

from hf_nextfail.models.fast_mamba import OURS as FUNCTIONS
from hf_nextfail.models.fast_mamba import use_fast_mamba

GPT2, OURS, STOCK = "GPT-2", "Mamba, our scan", "Mamba, transformers' scan"
#: The slow one takes no more turns than this.
STOCK_ROUNDS = 2

Gradients = dict[str, torch.Tensor]


def gradients(model: PreTrainedModel) -> Gradients:
    """Copy what the last step left."""
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def largest_difference(ours: Gradients, stock: Gradients) -> float:
    """Return the largest, relative to the largest number of the same gradient."""
    return max(((ours[name] - stock[name]).abs().max() / stock[name].abs().max()).item() for name in stock)


def measure(parent: Parent, settings: Settings, layers: int, length: int, batch_size: int) -> None:
    """Answer a table."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    common = {"vocab_size": 60, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    sizes = {"hidden_size": 128, "num_hidden_layers": layers}
    mamba = MambaForCausalLM(MambaConfig(state_size=16, **sizes, **common)).train()
    gpt2 = GPT2LMHeadModel(
        GPT2Config(num_attention_heads=4, max_position_embeddings=length, **sizes, **common)
    ).train()
    input_ids = torch.randint(0, 60, (batch_size, length))

    names = [name for name, _, _ in FUNCTIONS]
    stock = {name: getattr(modeling_mamba, name) for name in names}
    use_fast_mamba()
    fast = {name: getattr(modeling_mamba, name) for name in names}
    assert not fast.items() & stock.items(), "official kernels are installed, and used"
    models = {GPT2: (gpt2, fast), OURS: (mamba, fast), STOCK: (mamba, stock)}
    left: dict[str, Gradients] = {}

    def step(name: str) -> Callable[[], None]:
        model, functions = models[name]

        def run() -> None:
            for one, function in functions.items():
                setattr(modeling_mamba, one, function)
            model.zero_grad()
            model(input_ids=input_ids, labels=input_ids).loss.backward()

        return run

    steps = {name: step(name) for name in models}
    for name in (GPT2, OURS):  # warm-up
        steps[name]()
    rounds = min(settings.repeat, STOCK_ROUNDS)
    seconds = alternate(steps, rounds, parent.say, clock=time.process_time)
    left[STOCK] = gradients(mamba)  # the last to take its turn
    more = alternate({GPT2: steps[GPT2], OURS: steps[OURS]}, settings.repeat - rounds, parent.say, time.process_time)
    steps[OURS]()
    left[OURS] = gradients(mamba)
    seconds = {name: values + more.get(name, []) for name, values in seconds.items()}

    parent.answer(
        Table(
            f"Scan: hidden 128, {layers} layers, state 16, {batch_size} rows of {length} tokens, one thread",
            [
                {
                    "way": name,
                    "parameters": model.num_parameters(),
                    "processor ms a step": Figure.of(second * 1e3 for second in seconds[name]),
                    "of GPT-2's": Figure.of_ratios(seconds[name], seconds[GPT2]),
                    "of ours": Figure.of_ratios(seconds[name], seconds[OURS]),
                }
                for name, (model, _) in models.items()
            ],
            [
                "Largest difference of a gradient between the two scans, relative to its largest number: "
                f"{largest_difference(left[OURS], left[STOCK]):.1e}"
            ],
        )
    )
