"""The loss in parts, and heads, from the first step to the last checkpoint."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from datasets import load_dataset
from families import FAMILIES
from own_code.after_next import AfterNext
from safetensors.torch import load_file
from tiny_models import NO_DROPOUT, tiny_gpt2
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_nextfail import (
    NextFailTrainer,
    NextFailTrainingArguments,
    TeacherForcedObjective,
    TeacherlessObjective,
    numeral_tokenizer,
)
from hf_nextfail.data.tokenization import end_token_id
from hf_nextfail.hub.publish import model_files
from hf_nextfail.models import build_model
from hf_nextfail.models.lora import add_lora, load_checkpoint
from hf_nextfail.models.with_heads import HEADS, HEADS_FILE
from hf_nextfail.runs.measure_checkpoint import evaluate_checkpoint

TOKENIZER = numeral_tokenizer(num_nodes=20)


@pytest.fixture(scope="module")
def rows():
    return load_dataset("nextfail/star_graph", "d2_l3_n20", num_train=192, num_validation=20, num_test=1)


@pytest.fixture
def trainer_of(tmp_path, rows):
    def trainer_of(objective=None, folder="run", model=None, **options) -> NextFailTrainer:
        options = {"max_steps": 6, "per_device_train_batch_size": 8, "save_steps": 3, "disable_tqdm": True} | options
        return NextFailTrainer(
            model or tiny_gpt2(TOKENIZER, **NO_DROPOUT),
            NextFailTrainingArguments(str(tmp_path / folder), seed=3, precision="fp32", logging_steps=1, **options),
            objective=objective or AfterNext(TOKENIZER),
            train_dataset=rows["train"],
            eval_dataset=rows["validation"],
            processing_class=TOKENIZER,
        )

    return trainer_of


def logged(trainer: NextFailTrainer, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def weights_of(trainer: NextFailTrainer) -> torch.Tensor:
    modules = [trainer.model, *([] if trainer.heads is None else [trainer.heads.heads])]
    return torch.cat([weight.detach().flatten() for module in modules for weight in module.parameters()])


def test_each_part_of_the_loss_is_logged_and_they_add_up_to_it(trainer_of):
    trainer = trainer_of()
    trainer.train()
    losses, first, second = (logged(trainer, name) for name in ("loss", "loss_next_token", "loss_after_next"))
    assert len(losses) == len(first) == len(second) == 6
    assert [a + b for a, b in zip(first, second, strict=True)] == pytest.approx(losses, abs=1e-5)


def test_the_weight_of_a_head_is_an_option(trainer_of):
    heavy, light = trainer_of(AfterNext(TOKENIZER, weight=2.0)), trainer_of(folder="light")
    heavy.train()
    light.train()
    assert logged(heavy, "loss_after_next")[0] == pytest.approx(2 * logged(light, "loss_after_next")[0])
    assert heavy.describe()["objective_options"] == {"weight": 2.0}


def test_a_loss_of_one_part_is_logged_once(trainer_of):
    trainer = trainer_of(TeacherForcedObjective(TOKENIZER))
    trainer.train()
    assert len(logged(trainer, "loss")) == 6
    assert not [name for entry in trainer.state.log_history for name in entry if name.startswith("loss_")]


@pytest.mark.parametrize("logging_steps", [2, 4])
def test_parts_are_averaged_over_the_steps_since_the_last_line(trainer_of, logging_steps):
    each, some = trainer_of(), trainer_of(folder="some")
    some.args.logging_steps = some.state.logging_steps = logging_steps
    each.train()
    some.train()
    of_each = logged(each, "loss_after_next")
    expected = [
        sum(of_each[first : first + logging_steps]) / logging_steps
        for first in range(0, 6 - 6 % logging_steps, logging_steps)
    ]
    assert logged(some, "loss_after_next") == pytest.approx(expected, abs=1e-6)


def test_accumulated_batches_are_one(trainer_of):
    whole = trainer_of()
    halves = trainer_of(folder="halves", per_device_train_batch_size=4, gradient_accumulation_steps=2)
    whole.train()
    halves.train()
    for name in ("loss", "loss_next_token", "loss_after_next"):
        assert logged(halves, name) == pytest.approx(logged(whole, name), abs=1e-5)


def test_heads_move_and_are_no_part_of_the_model_afterwards(trainer_of):
    trainer = trainer_of()
    before = trainer.heads.heads.weight.detach().clone()
    trainer.train()
    assert not torch.equal(trainer.heads.heads.weight, before)
    assert not [name for name in trainer.model.state_dict() if HEADS in name]
    described = trainer.describe()
    assert described["num_head_parameters"] == before.numel()
    assert described["num_parameters"] == tiny_gpt2(TOKENIZER).num_parameters()
    with trainer.heads.attached():  # as for a card that is pushed on the way
        assert trainer.describe() == described


def test_a_resumed_run_ends_bit_for_bit_as_the_uninterrupted_one(trainer_of, tmp_path):
    whole = trainer_of()
    whole.train()
    resumed = trainer_of(folder="resumed")
    resumed.train(resume_from_checkpoint=str(tmp_path / "run/checkpoint-3"))
    assert torch.equal(weights_of(resumed), weights_of(whole))
    assert logged(resumed, "loss_after_next") == logged(whole, "loss_after_next")


def test_without_its_heads_a_checkpoint_is_not_gone_on_from(trainer_of, tmp_path):
    trainer_of(TeacherForcedObjective(TOKENIZER)).train()
    with pytest.raises(ValueError, match=f"has no {HEADS_FILE}"):
        trainer_of().train(resume_from_checkpoint=str(tmp_path / "run/checkpoint-3"))


def test_a_checkpoint_is_the_plain_model_with_the_heads_beside_it_and_what_is_saved_at_the_end_is_plain(
    trainer_of, tmp_path
):
    trainer = trainer_of()
    trainer.train()
    trainer.save_model()
    checkpoint = tmp_path / "run/checkpoint-6"
    assert list(load_file(checkpoint / HEADS_FILE)) == ["weight"]
    assert not (tmp_path / "run" / HEADS_FILE).exists()
    for folder in (checkpoint, tmp_path / "run"):
        model, loading = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
        assert not any(loading.values())
        assert all(torch.equal(model.state_dict()[name], w) for name, w in trainer.model.state_dict().items())


def test_a_model_that_its_user_saves_after_training_is_plain(trainer_of, tmp_path):
    trainer = trainer_of()
    trainer.train()
    trainer.model.save_pretrained(tmp_path / "mine")
    _, loading = AutoModelForCausalLM.from_pretrained(tmp_path / "mine", output_loading_info=True)
    assert not any(loading.values())


def mixture(seed=0):
    torch.manual_seed(seed)
    return build_model(TOKENIZER, model_type="mixtral", config_overrides=FAMILIES["mixtral"])


@pytest.mark.parametrize("then", ["resumed", "best at the end"])
def test_the_experts_of_a_mixture_are_loaded_again(trainer_of, then, tmp_path, caplog):
    best = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "greater_is_better": True}
    options = {"eval_strategy": "steps", "eval_steps": 3, "learning_rate": 0.01}
    trainer = trainer_of(model=mixture(), **options, **({} if then == "resumed" else best))
    trainer.train()
    if then == "resumed":
        expected, trainer = trainer.model, trainer_of(folder="resumed", model=mixture(seed=1), **options)
        trainer.train(resume_from_checkpoint=str(tmp_path / "run/checkpoint-3"))
    else:
        expected = AutoModelForCausalLM.from_pretrained(trainer.state.best_model_checkpoint)
    for name, weight in expected.state_dict().items():
        assert torch.equal(trainer.model.state_dict()[name], weight), name
    assert "missing keys" not in caplog.text


def test_the_best_model_is_loaded_at_the_end_without_a_word_about_heads(trainer_of, tmp_path, caplog):
    options = {"eval_strategy": "steps", "eval_steps": 3, "load_best_model_at_end": True, "greater_is_better": True}
    trainer = trainer_of(metric_for_best_model="loss", **options)
    trainer.train()
    state = json.loads((tmp_path / "run/checkpoint-6/trainer_state.json").read_text())
    best = load_file(Path(state["best_model_checkpoint"]) / "model.safetensors")
    assert Path(state["best_model_checkpoint"]).name == "checkpoint-3"
    assert all(torch.equal(trainer.model.state_dict()[name], weight) for name, weight in best.items())
    assert HEADS not in caplog.text


def test_training_again_goes_on_with_the_same_heads(trainer_of):
    trainer = trainer_of()
    trainer.train()
    before = trainer.heads.heads.weight.detach().clone()
    trainer.train()
    assert not torch.equal(trainer.heads.heads.weight, before)


def test_heads_and_a_model_that_is_made_anew_are_refused(tmp_path, rows):
    with pytest.raises(ValueError, match="the objective after_next has heads, which belong to one model"):
        NextFailTrainer(
            None,
            NextFailTrainingArguments(str(tmp_path)),
            objective=AfterNext(TOKENIZER),
            train_dataset=rows["train"],
            processing_class=TOKENIZER,
            model_init=lambda: tiny_gpt2(TOKENIZER),
        )


class Fussy(TeacherForcedObjective):
    """Refuse every GPT-2."""

    name = "fussy"

    def check(self, model):
        if model.config.model_type == "gpt2":
            raise ValueError("the objective fussy does not train gpt2: it is too old")


def test_a_model_that_is_made_anew_for_each_training_is_checked_each_time(tmp_path, rows):
    class NoSmall(TeacherForcedObjective):
        def check(self, model):
            if model.config.n_embd < 32:
                raise ValueError("it needs a wider model")

    with pytest.raises(ValueError, match="it needs a wider model"):
        NextFailTrainer(
            None,
            NextFailTrainingArguments(str(tmp_path)),
            objective=NoSmall(TOKENIZER),
            train_dataset=rows["train"],
            processing_class=TOKENIZER,
            model_init=lambda: tiny_gpt2(TOKENIZER),
        )


# How a checkpoint decodes, by every way that it comes to be


def saved_by_the_trainer(trainer, folder):
    trainer.train()
    trainer.save_model(str(folder))


def saved_by_the_user(trainer, folder):
    trainer.train()
    trainer.model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)


def saved_in_half(trainer, folder):
    trainer.train()
    trainer.model.half().save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)


def saved_on_the_way(trainer, folder):
    trainer.train()
    shutil.copytree(Path(trainer.args.output_dir) / "checkpoint-3", folder)


def gone_on_from_a_checkpoint(trainer, folder):
    trainer.train()
    trainer.train(resume_from_checkpoint=f"{trainer.args.output_dir}/checkpoint-3")
    trainer.save_model(str(folder))


def pushed_from_a_folder(trainer, folder):
    trainer.train()
    trainer.save_model(trainer.args.output_dir)
    for name, content in model_files(trainer.args.output_dir, "nextfail/x").items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())


def adapted_and_saved(trainer, folder):
    adapted = trainer(model=add_lora(tiny_gpt2(TOKENIZER, **NO_DROPOUT), TOKENIZER))
    adapted.train()
    adapted.model.merge_and_unload().save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)


def adapted_loaded_and_merged(trainer, folder):
    base = folder.with_name("base")
    saved_by_the_user(trainer(TeacherForcedObjective(TOKENIZER)), base)
    adapted = trainer(model=add_lora(load_checkpoint(TOKENIZER, str(base)), TOKENIZER))
    adapted.train()
    adapted.save_model(str(folder.with_name("adapter")))
    load_checkpoint(TOKENIZER, str(folder.with_name("adapter"))).merge_and_unload().save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)


@pytest.mark.parametrize(
    ("way", "options"),
    [
        (saved_by_the_trainer, {}),
        (saved_by_the_trainer, {"model_init": True}),
        (saved_by_the_trainer, {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 3}),
        (saved_by_the_user, {}),
        (saved_by_the_user, {"model_init": True}),
        (saved_in_half, {}),
        (saved_on_the_way, {"model_init": True}),
        (gone_on_from_a_checkpoint, {}),
        (gone_on_from_a_checkpoint, {"model_init": True}),
        (pushed_from_a_folder, {}),
        (adapted_and_saved, None),
        (adapted_loaded_and_merged, None),
    ],
)
def test_a_checkpoint_decodes_as_it_was_trained_however_it_came_to_be(tmp_path, rows, way, options):
    def trainer(objective=None, model=None, model_init=False, **options):
        def make():
            return model or tiny_gpt2(TOKENIZER, **NO_DROPOUT)

        options = {"max_steps": 6, "per_device_train_batch_size": 8, "save_steps": 3, "disable_tqdm": True} | options
        return NextFailTrainer(
            None if model_init else make(),
            NextFailTrainingArguments(str(tmp_path / "run"), precision="fp32", **options),
            objective=objective or TeacherlessObjective(TOKENIZER),
            train_dataset=rows["train"],
            eval_dataset=rows["validation"],
            processing_class=TOKENIZER,
            model_init=make if model_init else None,
        )

    folder = tmp_path / "checkpoint"
    way(trainer if options is None else trainer(**options), folder)
    settings = AutoModelForCausalLM.from_pretrained(folder).generation_config
    assert settings.decoding == "parallel"
    assert settings.dummy_token_id == TOKENIZER.dummy_token_id
    assert settings.max_new_tokens == 3
    record = evaluate_checkpoint(str(folder), num_rows=20, progress=False, dataset_config="d2_l3_n20")
    assert record.run["decoding"] == "parallel"


def test_a_model_whose_completions_do_not_end_is_told_of_no_end_token(trainer_of, tmp_path, caplog):
    trainer = trainer_of(TeacherForcedObjective(TOKENIZER))
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    for folder in (tmp_path / "run/checkpoint-3", tmp_path / "saved"):
        model = AutoModelForCausalLM.from_pretrained(folder)
        assert (model.config.eos_token_id, model.generation_config.eos_token_id) == (None, None)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert (tokenizer.eos_token_id, end_token_id(tokenizer)) == (tokenizer.pad_token_id, None)
    assert not [record for record in caplog.records if "EOS" in record.message]


def test_a_training_that_fails_to_begin_leaves_the_tokenizer_as_it_was(trainer_of, tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        trainer_of(TeacherForcedObjective(TOKENIZER)).train(resume_from_checkpoint=str(tmp_path / "nowhere"))
    assert TOKENIZER.eos_token_id == TOKENIZER.pad_token_id


def test_an_objective_may_refuse_a_model(trainer_of):
    with pytest.raises(ValueError, match="fussy does not train gpt2: it is too old"):
        trainer_of(Fussy(TOKENIZER))


class PromptToo(TeacherForcedObjective):
    """Predict the prompt, too, from its second token on."""

    name = "prompt_too"
    labels_follow_prompt = False

    def encode(self, rows, generator=None):
        batch = super().encode(rows, generator)
        batch["labels"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        return batch


def test_labels_may_stand_in_the_prompt(trainer_of):
    trainer = trainer_of(PromptToo(TOKENIZER), max_steps=1, train_sampling_strategy="sequential")
    trainer.train()
    batch = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad():
        stock = tiny_gpt2(TOKENIZER, **NO_DROPOUT)(**batch).loss
    assert logged(trainer, "loss") == pytest.approx([stock.item()], abs=1e-5)


class ByHand(TeacherForcedObjective):
    """Give the mask and the positions that a causal LM makes itself."""

    name = "by_hand"

    def encode(self, rows, generator=None):
        batch = super().encode(rows, generator)
        size = batch["input_ids"].shape[1]
        seen = torch.ones(size, size, dtype=torch.bool).tril() & batch["attention_mask"][:, None, :].bool()
        positions = torch.arange(size).expand(len(rows), size)
        return batch | {"attention_mask": seen[:, None], "position_ids": positions}


def test_an_objective_may_give_its_own_mask_and_positions(trainer_of):
    usual, by_hand = trainer_of(TeacherForcedObjective(TOKENIZER)), trainer_of(ByHand(TOKENIZER), folder="by_hand")
    usual.train()
    by_hand.train()
    assert logged(by_hand, "loss") == pytest.approx(logged(usual, "loss"), abs=1e-5)
