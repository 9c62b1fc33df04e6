import pytest
import torch
from families import FAMILIES, TOKENIZER, build
from tiny_models import learning, mean_loss
from tiny_rows import even_rows, other_label, ragged_rows, with_completions, with_prompts

from hf_nextfail.models import build_model
from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives import DsMtpObjective


def norm(states, weight):
    return states / (states.pow(2).mean(dim=-1, keepdim=True) + torch.finfo(states.dtype).eps).sqrt() * weight


@torch.no_grad()
def test_each_module_takes_the_state_of_the_one_before_and_the_token_that_it_predicted():
    objective, model, rows = DsMtpObjective(TOKENIZER, depth=3), build("gpt2").eval(), ragged_rows(TOKENIZER)
    embed, unembed = (weights.weight for weights in (model.get_input_embeddings(), model.get_output_embeddings()))
    batch = objective.encode(rows)
    with learning(objective, model) as heads:
        said = completion_outputs(model, batch, heads=heads)
        for b, (prompt, completion) in enumerate(rows.lengths.tolist()):
            # Each row alone, without padding: position s holds a state, and module k is shown the token at s + k.
            ids = batch["input_ids"][b, : prompt + completion]
            states = model(ids[None], output_hidden_states=True).hidden_states[-1][0]
            for k, module in enumerate(heads.heads, 1):
                shown = embed[ids[k:]]
                states = states[: len(shown)]
                both = [norm(states, module.state_norm.weight), norm(shown, module.token_norm.weight)]
                states = module.block((torch.cat(both, dim=1) @ module.projection.weight.T)[None])[0]
                for t in range(1, completion - k + 1):  # r_t stands at position prompt + t - 1
                    logits = unembed @ states[prompt + t - 2]
                    at = prompt + t - 1 - said.first
                    torch.testing.assert_close(said.heads[k - 1][b, at], logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("depth", "weight"), [(1, 0.3), (2, 0.3), (3, 1.0)])
def test_the_mean_of_the_modules_losses_is_added_with_the_weight(depth, weight):
    torch.manual_seed(0)
    labels, (logits, *heads) = torch.randint(6, (5, 4)), torch.randn(1 + depth, 5, 4, 6)
    parts = DsMtpObjective(TOKENIZER, depth, weight).loss(Outputs(logits, labels, 1, heads), {})
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    for k, said in enumerate(heads, 1):
        terms = [-said[b, t].log_softmax(0)[labels[b, t + k]] for b in range(5) for t in range(4 - k)]
        expected = expected + weight / depth * sum(terms) / len(terms)
    torch.testing.assert_close(sum(parts.values()) / labels.numel(), expected)
    assert list(parts) == ["next_token", *(f"ahead_{k}" for k in range(1, depth + 1))]


@torch.no_grad()
def test_a_module_sees_the_true_tokens_up_to_the_one_that_it_predicts():
    objective, model, rows = DsMtpObjective(TOKENIZER), build("gpt2").eval(), even_rows(TOKENIZER)
    with learning(objective, model) as heads:

        def said(rows):
            return completion_outputs(model, objective.encode(rows), heads=heads).heads

        before = said(rows)
        for j in range(5):
            after = said(with_completions(rows, other_label(rows.completion_ids, j)))
            for k in (1, 2):
                moved = (after[k - 1] - before[k - 1]).abs().amax(dim=(0, 2))
                # What module k says at t is of label t + k, and begins to depend on label j where that is later.
                begins = max(0, j + 1 - k)
                assert (moved[:begins] < 1e-5).all()
                assert (moved[begins : 5 - k] > 1e-3).all()
        after = said(with_prompts(rows, other_label(rows.prompt_ids, 0)))
        assert all((new - old).abs().amax(dim=2).gt(1e-3).all() for new, old in zip(after, before, strict=True))


@pytest.mark.parametrize("family", ["gpt2", "llama", "mamba", "opt"])
def test_everything_learns_on_every_family(family):
    objective, model = DsMtpObjective(TOKENIZER), build(family)
    with learning(objective, model) as heads:
        mean_loss(objective, model, objective.encode(ragged_rows(TOKENIZER)), heads=heads).backward()
        assert [
            name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()
        ] == []


def test_states_narrower_than_the_trunk_are_taken_as_the_embeddings_have_them():
    objective = DsMtpObjective(TOKENIZER)
    torch.manual_seed(0)
    sizes = FAMILIES["opt"] | {"word_embed_proj_dim": 16}
    model = build_model(TOKENIZER, model_type="opt", config_overrides=sizes)
    with learning(objective, model) as heads:
        mean_loss(objective, model, objective.encode(ragged_rows(TOKENIZER)), heads=heads).backward()
        assert heads.heads[0].projection.weight.shape == (16, 32)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"depth": 0}, "depth must be at least 1, one module, got 0"),
        ({"weight": 0.0}, "weight must be above 0, got 0.0"),
    ],
)
def test_options_out_of_range_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        DsMtpObjective(TOKENIZER, **options)
