"""Where tasks are from."""

from typing import NamedTuple


class Paper(NamedTuple):
    """A paper that a task is from.

    Args:
        key (`str`): what BibTeX calls it.
        authors (`str`): as BibTeX has them: `"First Author and others"`.
        title (`str`): of the paper.
        venue (`str`): where it appeared.
        year (`int`): when.
        arxiv (`str`): its number there.
    """

    key: str
    authors: str
    title: str
    venue: str
    year: int
    arxiv: str

    @property
    def url(self) -> str:
        """Where it can be read."""
        return f"https://arxiv.org/abs/{self.arxiv}"

    @property
    def in_words(self) -> str:
        """`Bachmann & Nagarajan 2024`, or `Ye et al. 2025`."""
        first, *others = (name.split()[-1] for name in self.authors.split(" and "))
        if others == ["others"]:
            return f"{first} et al. {self.year}"
        return f"{' & '.join([first, *others])} {self.year}"

    @property
    def citation(self) -> str:
        """The paper in BibTeX."""
        at = "@inproceedings" if self.venue != "arXiv" else "@misc"
        where = "booktitle" if self.venue != "arXiv" else "howpublished"
        return (
            f"{at}{{{self.key}, title={{{self.title}}}, author={{{self.authors}}}, {where}={{{self.venue}}}, "
            f"year={{{self.year}}}}}"
        )


PITFALLS = Paper(
    "bachmann2024pitfalls",
    "Gregor Bachmann and Vaishnavh Nagarajan",
    "The Pitfalls of Next-Token Prediction",
    *("ICML", 2024, "2403.06963"),
)
SUPERVISION_ADULTERATION = Paper(
    "frydenlund2025adulteration",
    "Arvid Frydenlund",
    "Language Models, Graph Searching, and Supervision Adulteration",
    *("ACL", 2025, "2503.10542"),
)
INSERTION_LANGUAGE_MODELS = Paper(
    "patel2025insertion", "Dhruvesh Patel and others", "Insertion Language Models", "arXiv", 2025, "2505.05755"
)
BEYOND_AUTOREGRESSION = Paper(
    "ye2025beyond",
    "Jiacheng Ye and others",
    "Beyond Autoregression: Discrete Diffusion for Complex Reasoning and Planning",
    *("ICLR", 2025, "2410.14157"),
)
GEOMETRIC_MEMORY = Paper(
    "noroozizadeh2025geometric",
    "Shahriar Noroozizadeh and others",
    "Deep sequence models tend to memorize geometrically",
    *("arXiv", 2025, "2510.26745"),
)
NEXT_LATENT = Paper(
    "teoh2025nextlatent",
    "Jayden Teoh and others",
    "Next-Latent Prediction Transformers Learn Compact World Models",
    *("arXiv", 2025, "2511.05963"),
)
ROLL_THE_DICE = Paper(
    "nagarajan2025roll",
    "Vaishnavh Nagarajan and others",
    "Roll the dice \\& look before you leap: Going beyond the creative limits of next-token prediction",
    *("ICML", 2025, "2504.15266"),
)
