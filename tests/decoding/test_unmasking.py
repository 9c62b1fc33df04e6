import pytest
import torch
from small_tokenizers import numerals_that_end
from tiny_models import NO_DROPOUT, tiny_gpt2
from tiny_rows import random_rows

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.decoding import DECODINGS, UnmaskingDecoding, find_decoding
from hf_nextfail.models.lora import add_lora

TOKENIZER = numeral_tokenizer(num_nodes=10)
DUMMY, PAD = TOKENIZER.dummy_token_id, TOKENIZER.pad_token_id
NUM_TOKENS = 5


def random_gpt2(attention=None):
    # Weights far from 0: what it writes varies with what it sees.
    return tiny_gpt2(TOKENIZER, attention, initializer_range=0.5, **NO_DROPOUT).eval()


def twenty_rows():
    return random_rows(TOKENIZER, prompt_lengths=[2, 3, 4, 5, 6] * 4, completion_lengths=[NUM_TOKENS] * 20)


@torch.no_grad()
def by_hand(model, prompt, num_steps):
    """Unmask one row, one token after the other."""
    tokens = {}
    for step in range(1, num_steps + 1):
        ids = torch.tensor([prompt + [tokens.get(place, DUMMY) for place in range(NUM_TOKENS)]])
        everything = torch.zeros(1, 1, ids.shape[1], ids.shape[1])
        probabilities = model(input_ids=ids, attention_mask=everything).logits[0, len(prompt) - 1 : -1].softmax(dim=1)
        surest = [(-row.max().item(), place, row.argmax().item()) for place, row in enumerate(probabilities)]
        for _, place, token in sorted(entry for entry in surest if entry[1] not in tokens):
            if len(tokens) < NUM_TOKENS * step // num_steps:
                tokens[place] = token
    return [tokens[place] for place in range(NUM_TOKENS)]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(("num_steps", "as_many"), [(1, 1), (2, 2), (3, 3), (5, 5), (99, 5), (None, 5)])
def test_in_each_step_the_surest_tokens_stay_and_the_rest_is_predicted_again(num_steps, as_many, attention):
    model, rows = random_gpt2(attention), twenty_rows()
    written = UnmaskingDecoding(TOKENIZER, num_steps).write(model, rows, NUM_TOKENS).tolist()
    prompts = [
        prompt[:length] for prompt, (length, _) in zip(rows.prompt_ids.tolist(), rows.lengths.tolist(), strict=True)
    ]
    assert written == [by_hand(model, prompt, as_many) for prompt in prompts]
    assert len(set(map(tuple, written))) > 10


def test_more_steps_write_something_else():
    model, rows = random_gpt2(), twenty_rows()
    one, all_of_them = (UnmaskingDecoding(TOKENIZER, steps).write(model, rows, NUM_TOKENS) for steps in (1, None))
    assert not torch.equal(one, all_of_them)


@torch.no_grad()
def test_what_is_scored_is_the_first_step():
    model, rows = random_gpt2(), twenty_rows()
    batch = UnmaskingDecoding(TOKENIZER).view(rows)
    assert batch["input_ids"].shape[1] == 6 + NUM_TOKENS + 1
    likeliest = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.argmax(dim=-1)
    written = UnmaskingDecoding(TOKENIZER, 1).write(model, rows, NUM_TOKENS)
    for row, length in enumerate(rows.lengths[:, 0].tolist()):
        assert batch["input_ids"][row, length : length + NUM_TOKENS].tolist() == [DUMMY] * NUM_TOKENS
        assert likeliest[row, length - 1 : length - 1 + NUM_TOKENS].tolist() == written[row].tolist()


def test_a_checkpoint_says_in_how_many_steps(tmp_path):
    model = random_gpt2()
    model.generation_config = UnmaskingDecoding(TOKENIZER, 3).generation_config(max_new_tokens=NUM_TOKENS)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    for asked in (None, "unmasking", UnmaskingDecoding):
        assert find_decoding(asked, loaded, TOKENIZER).num_steps == 3
    assert find_decoding("unmasking", random_gpt2(), TOKENIZER).num_steps is None


def test_steps_that_there_cannot_be_are_refused():
    with pytest.raises(ValueError, match="num_steps must be at least 1, or null for one step a token, got 0"):
        UnmaskingDecoding(TOKENIZER, 0)


def test_padding_follows_an_end_token_that_steps_saw_as_any_other():
    model, rows = random_gpt2(), twenty_rows()
    unstopped = UnmaskingDecoding(TOKENIZER).write(model, rows, NUM_TOKENS).tolist()
    end = unstopped[0][1]
    written = UnmaskingDecoding(numerals_that_end(10, end)).write(model, rows, NUM_TOKENS).tolist()
    for row, whole in zip(written, unstopped, strict=True):
        kept = whole.index(end) + 1 if end in whole else NUM_TOKENS
        assert row == whole[:kept] + [PAD] * (NUM_TOKENS - kept)


# What models it refuses; `models/test_architectures.py` has the families


@pytest.mark.parametrize("training", [True, False])
def test_asking_a_model_leaves_it_as_it_is_and_draws_nothing(training):
    model = tiny_gpt2(TOKENIZER, attn_pdrop=0.5).train(training)
    model.transformer.h[0].train(not training)
    modes, state = [module.training for module in model.modules()], torch.get_rng_state()
    UnmaskingDecoding(TOKENIZER).check(model)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.get_input_embeddings()._forward_hooks


def test_frozen_models_and_adapters_are_asked_as_well():
    model = random_gpt2().requires_grad_(False)
    UnmaskingDecoding(TOKENIZER).check(model)
    UnmaskingDecoding(TOKENIZER).check(add_lora(random_gpt2(), TOKENIZER))


def test_a_model_that_hides_later_tokens_whatever_the_mask_says_is_refused(monkeypatch):
    model = random_gpt2()
    forward = model.forward

    def causal(input_ids, attention_mask=None, **options):
        return forward(input_ids=input_ids, attention_mask=(attention_mask[:, 0, 0] == 0).long(), **options)

    monkeypatch.setattr(model, "forward", causal)
    with pytest.raises(
        ValueError, match="unmasking lets every token see the later ones, and GPT2LMHeadModel takes no"
    ):
        find_decoding("unmasking", model, TOKENIZER)
    assert find_decoding("parallel", model, TOKENIZER).name == "parallel"


def test_a_model_that_sees_padding_is_refused(monkeypatch):
    model = random_gpt2()
    forward = model.forward
    monkeypatch.setattr(
        model,
        "forward",
        lambda input_ids, attention_mask: forward(input_ids=input_ids, attention_mask=attention_mask * 0),
    )
    with pytest.raises(ValueError, match="takes no attention mask that says so: take a transformer"):
        DECODINGS["unmasking"](TOKENIZER).check(model)
