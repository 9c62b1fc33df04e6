import pytest
import torch
from families import TOKENIZER, build
from small_tokenizers import split_digits
from tiny_models import attached, learning, mean_loss, tiny_gpt2
from tiny_rows import even_rows, ragged_rows
from torch.nn.functional import layer_norm, linear, silu

from hf_nextfail.data.rows import Rows
from hf_nextfail.data.tokenization import load_tokenizer
from hf_nextfail.models import build_model
from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.models.with_heads import WithHeads
from hf_nextfail.objectives import BstObjective, TeacherForcedObjective

OBJECTIVE = BstObjective(TOKENIZER)


def parts_of(model, heads, rows):
    batch = OBJECTIVE.encode(rows)
    with attached(WithHeads(model, heads.eval(), OBJECTIVE.run_heads)) as beside:
        return OBJECTIVE.loss(completion_outputs(model, batch, heads=beside), batch)


def mean_losses(model, heads, prompt, completion):
    """The mean losses of a row's pairs, of the next token and of the one before the suffix; each encoder runs anew."""
    embed, unembed = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    T, following, before = len(completion), [], []
    for t in range(T):
        f = model.base_model(torch.tensor([prompt + completion[:t]])).last_hidden_state[0, -1]
        for k in range(2, T + 2 - t):
            suffix = completion[t + k - 1 :]  # r_{t+k} .. r_T
            read = torch.stack([heads.end, *(embed[token] for token in reversed(suffix))])
            b = heads.encoder(inputs_embeds=read[None]).last_hidden_state[0, -1]
            z = torch.cat([f, b])
            x = layer_norm(z, z.shape, heads.norm.weight, heads.norm.bias)
            gate, up = linear(x, heads.gate.weight, heads.gate.bias), linear(x, heads.up.weight, heads.up.bias)
            z = z + linear(silu(gate) * up, heads.down.weight, heads.down.bias)
            next_state, previous_state = z.chunk(2)
            if not suffix:
                next_state = f
            following.append(-(unembed @ next_state).log_softmax(0)[completion[t]].item())
            before.append(-(unembed @ previous_state).log_softmax(0)[completion[t + k - 2]].item())
    assert len(following) == T * (T + 1) / 2
    return sum(following) / len(following), sum(before) / len(before)


@pytest.mark.parametrize("family", ["gpt2", "llama", "mamba"])
@torch.no_grad()
def test_loss_is_half_the_mean_over_pairs_of_both_tokens(family):
    model, rows = build(family).eval(), ragged_rows(TOKENIZER)
    heads = OBJECTIVE.heads(model).eval()
    expected = {"next_token": 0, "previous_token": 0}
    for prompt, completion, (p, c) in zip(rows.prompt_ids, rows.completion_ids, rows.lengths.tolist(), strict=True):
        means = mean_losses(model, heads, prompt[:p].tolist(), completion[:c].tolist())
        for name, mean in zip(expected, means, strict=True):
            expected[name] += c * mean / 2
    parts = parts_of(model, heads, rows)
    assert {name: total.item() for name, total in parts.items()} == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_of_one_token_the_next_is_learnt_as_by_teacher_forcing():
    model = build("gpt2").eval()
    rows = Rows(torch.tensor([[7, 8], [3, 9]]), torch.tensor([[1], [2]]), torch.tensor([[2, 1], [2, 1]]))
    plain, batch = TeacherForcedObjective(TOKENIZER), OBJECTIVE.encode(rows)
    teacher_forced = plain.loss(completion_outputs(model, batch), batch)["next_token"]
    parts = parts_of(model, OBJECTIVE.heads(model), rows)
    assert parts["next_token"].item() == pytest.approx(teacher_forced.item() / 2, rel=1e-5)


@torch.no_grad()
def test_no_pair_sees_what_lies_between_its_prefix_and_its_suffix():
    model = build("gpt2").eval()
    heads = OBJECTIVE.heads(model).eval()
    prompt, completion = [7, 8, 9], [1, 2, 3, 4, 5]

    def predicted(completion):
        rows = Rows(torch.tensor([prompt]), torch.tensor([completion]), torch.tensor([[3, 5]]))
        batch = OBJECTIVE.encode(rows)
        with attached(WithHeads(model, heads, OBJECTIVE.run_heads)) as beside:
            return completion_outputs(model, batch, heads=beside).heads

    pairs = [(t, j) for t in range(5) for j in range(5 - t)]
    before = predicted(completion)
    for m in range(5):  # r_{m+1}
        changed = predicted([*completion[:m], 6, *completion[m + 1 :]])
        seen = torch.tensor([m < t or m >= 5 - j for t, j in pairs])
        known = torch.tensor([j > 0 for _, j in pairs])
        for ours, theirs, sees in ((before[0], changed[0], seen[known]), (before[1], changed[1], seen)):
            moved = ((ours - theirs)[0].abs().amax(dim=1) > 1e-5).tolist()
            assert moved == sees.tolist()


def test_the_second_encoder_has_no_embedding_of_its_own_and_the_shape_of_the_first():
    model = build("gpt2")
    heads = OBJECTIVE.heads(model)
    first = {name: weight.shape for name, weight in model.base_model.named_parameters() if not name.startswith("wte")}
    assert {name: weight.shape for name, weight in heads.encoder.named_parameters()} == first
    shared = {id(weight) for weight in model.parameters()}
    assert shared.isdisjoint(map(id, heads.parameters()))


def test_the_embeddings_of_the_model_learn_from_both_encoders():
    model = build("llama")  # whose output embedding is another
    rows = Rows(torch.tensor([[7, 8]]), torch.tensor([[1, 2, 3]]), torch.tensor([[2, 3]]))
    parts = parts_of(model, OBJECTIVE.heads(model), rows)
    parts["previous_token"].backward()
    learnt = model.get_input_embeddings().weight.grad.abs().amax(dim=1).nonzero().squeeze(1)
    assert learnt.tolist() == [1, 2, 3, 7, 8]  # 3 is read by the backward encoder alone


def test_a_pretrained_tokenizer_and_llama_learn(tmp_path):
    split_digits().save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
    model = build_model(tokenizer, model_type="llama", config_overrides=sizes)
    objective = BstObjective(tokenizer)
    objective.check(model)
    batch = objective.encode(even_rows(tokenizer))
    with learning(objective, model) as heads:
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        losses = []
        for _ in range(10):
            optimizer.zero_grad()
            losses.append(mean_loss(objective, model, batch, heads=heads))
            losses[-1].backward()
            optimizer.step()
    assert losses[-1] < losses[0] / 1.5


@pytest.mark.parametrize("family", ["gpt2", "llama", "mamba", "opt", "gemma2", "jamba", "xlstm"])
def test_families_that_can_be_built_twice_are_allowed(family):
    OBJECTIVE.check(build(family))


@pytest.mark.parametrize("family", ["bart", "trocr"])
def test_other_families_are_refused_with_the_reason(family):
    with pytest.raises(ValueError, match=f"bst needs a second encoder .* {family} cannot have one") as refusal:
        OBJECTIVE.check(build(family))
    assert "\n" not in str(refusal.value)


def test_checking_draws_nothing_at_random():
    model = tiny_gpt2(TOKENIZER)
    state = torch.get_rng_state()
    OBJECTIVE.check(model)
    assert torch.equal(torch.get_rng_state(), state)
