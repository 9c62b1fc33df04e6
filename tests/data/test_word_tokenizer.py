import hashlib

import pytest
from own_code.pairs import Pairs
from own_code.sums import Sums
from transformers import AutoTokenizer

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.tokenization import encode_completions, encode_texts, end_token_id
from hf_nextfail.data.word_tokenizer import task_tokenizer, word_tokenizer
from hf_nextfail.tasks import StarGraph


def test_the_tokenizer_of_the_paper_is_what_it_was():
    """Checkpoints carry it, and their ids are those of its first version.

    One thing has changed since: the unknown token is `<pad>`. It was `<unk>`, which is in no vocabulary of ours.
    """
    text = "".join(numeral_tokenizer(number).backend_tokenizer.to_str() for number in (1, 5, 10, 20, 50))
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "95c991d516dc56e3da630a9462bff73442409dd89d70cd13adc40671f3257ea8"
    )


def test_that_of_the_star_graph_is_that_of_the_paper():
    ours, papers = task_tokenizer(StarGraph(2, 3, 20)), numeral_tokenizer(20)
    assert ours.backend_tokenizer.to_str() == papers.backend_tokenizer.to_str()
    assert end_token_id(ours) is None


@pytest.mark.parametrize(
    ("words", "separator", "text", "ids"),
    [
        ("0123456789+=", "", "12+3=", [1, 2, 10, 3, 11]),
        ("a \né∞", "", "a é\n∞", [0, 1, 3, 2, 4]),
        (["left", "right", "42", "+", "."], ",", "left,42.right+left", [0, 2, 4, 1, 3, 0]),
        (["über", "7"], "-", "7-über-7", [1, 0, 1]),
    ],
)
def test_a_text_becomes_words_and_comes_back(words, separator, text, ids, tmp_path):
    words = list(dict.fromkeys(words))
    tokenizer = word_tokenizer(words, separator, ends=True)
    assert tokenizer(text)["input_ids"] == ids
    assert tokenizer.decode(ids) == text
    special = [tokenizer.dummy_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id]
    assert special == [len(words), len(words) + 1, len(words) + 2]
    assert tokenizer.decode([*ids, *special], skip_special_tokens=True) == text
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(text)["input_ids"] == ids
    assert end_token_id(loaded) == end_token_id(tokenizer) == special[-1]


@pytest.mark.parametrize("task", [Sums(), Sums(digits=1), Pairs()])
def test_answers_of_different_lengths_end(task):
    tokenizer = task_tokenizer(task)
    assert encode_completions(tokenizer, ["12"]) == [[1, 2, tokenizer.eos_token_id]]


@pytest.mark.parametrize("ends", [True, False])
def test_a_text_with_another_word_is_named_also_after_saving(ends, tmp_path):
    tokenizer = word_tokenizer("0123456789+=", "", ends)
    tokenizer.save_pretrained(tmp_path)
    for known in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        with pytest.raises(ValueError, match=r"cannot express '1x2=' \(<pad> would stand in it\); does it know all"):
            encode_texts(known, ["1+2=", "1x2="])
        # What clients write around a text is theirs to judge.
        assert known("1\n")["input_ids"] == [1, known.pad_token_id]


def test_messages_are_their_contents():
    messages = [{"role": "system", "content": "1+"}, {"role": "user", "content": "2="}]
    tokenizer = task_tokenizer(Sums())
    assert tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == "1+2="


@pytest.mark.parametrize(
    ("words", "separator", "reason"),
    [
        (["1", "12"], "", "without a separator each must be one character, got '12'"),
        (["1", "1"], "", "'1' stands there twice"),
        (["$"], "", "the name of a special token"),
        (["<pad>"], ",", "the name of a special token"),
        (["a", ","], ",", "',' stands there twice, or is the separator"),
        (["a b"], ",", "letters and digits, or one sign, got 'a b'"),
        (["->"], ",", "letters and digits, or one sign, got '->'"),
        (["a"], "x", "the separator must be one sign, got 'x'"),
        (["a"], ", ", "the separator must be one sign, got ', '"),
        (["a"], " ", "the separator must be one sign, got ' '"),
    ],
)
def test_words_that_cannot_be_tokens_are_refused(words, separator, reason):
    with pytest.raises(ValueError, match=reason.replace("(", r"\(")):
        word_tokenizer(words, separator, ends=False)


def test_the_words_of_a_task_are_refused_with_its_name():
    class Doubled(Sums):
        words = ("1", "1")

    with pytest.raises(ValueError, match="the words of sums: '1' stands there twice"):
        task_tokenizer(Doubled())
