import pytest

from hf_nextfail.errors import did_you_mean


@pytest.mark.parametrize(
    ("word", "hint"),
    [("learning_rat", " (did you mean 'learning_rate'?)"), ("sed", " (did you mean 'seed'?)"), ("zzz", ""), ("", "")],
)
def test_the_near_word_is_named_and_a_far_one_is_not(word, hint):
    assert did_you_mean(word, ["seed", "learning_rate", "max_steps"]) == hint


def test_known_words_may_come_from_any_iterable():
    assert did_you_mean("gpt", (name for name in ["gpt2"])) == " (did you mean 'gpt2'?)"
