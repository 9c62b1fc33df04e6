"""Add two numbers: a task without a graph, whose answers have three or four digits."""

from dataclasses import dataclass

from hf_nextfail.tasks import Task


@dataclass(frozen=True)
class Sums(Task):
    """Ask for the sum of two numbers of so many digits, such as `123+456=`.

    Args:
        digits (`int`, 1 to 9, *optional*, defaults to 3): of both numbers.
    """

    name = "sums"
    words = tuple("0123456789+=")

    digits: int = 3

    def sample(self, rng, count):
        low, high = 10 ** (self.digits - 1), 10**self.digits
        return {name: rng.integers(low, high, size=count) for name in ("first", "second")}

    def to_text(self, columns):
        pairs = list(zip(columns["first"].tolist(), columns["second"].tolist(), strict=True))
        return {"prompt": [f"{a}+{b}=" for a, b in pairs], "completion": [str(a + b) for a, b in pairs]}

    def score(self, prediction, row):
        return float(prediction == str(row["first"] + row["second"]))
