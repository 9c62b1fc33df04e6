import pytest

from hf_nextfail.errors import HubError, UsageError


def test_bad_input_ends_with_code_2():
    assert UsageError("no such split").exit_code == 2
    assert str(UsageError("no such split")) == "no such split"


@pytest.mark.parametrize("exit_code", [1, 2])
def test_what_the_hub_refused_ends_with_the_code_of_whose_fault_it_was(exit_code):
    error = HubError("no write access", exit_code)
    assert (str(error), error.exit_code) == ("no write access", exit_code)


def test_errors_of_the_two_kinds_are_told_apart():
    # Whoever catches ValueError for a library's complaint does not catch what has its line already.
    for one, other in ((UsageError, HubError), (HubError, UsageError)):
        assert not issubclass(one, (other, ValueError, OSError))
