"""Next-token prediction given the true previous tokens."""

from typing import ClassVar

from hf_nextfail.decoding import AutoregressiveDecoding, Decoding
from hf_nextfail.objectives.base import Objective


class TeacherForcedObjective(Objective):
    """Predict each completion token from the prompt and the *true* tokens before it: how language models are trained.

    On a star graph every token after the hard one can be read off the true token before it (the Clever Hans cheat),
    which leaves the hard token without the supervision that would teach planning.

    ```
    input_ids   p_1 ... p_P  r_1 ... r_T
    labels       .  ...  .   r_1 ... r_T        (. is -100)
    ```

    *Adds parameters*: none.

    *Needs*: a padding token.

    *Decodes*: token by token.

    *Relations*: the baseline of every other objective. On reversed paths of star graphs no token needs planning, and
    it solves the task; where several edges lead to a node of the path, as in `crossing_star`, it must still guess.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): where the ids of special tokens come from.

    Reference: Bachmann and Nagarajan (arXiv 2403.06963); Williams and Zipser, "A Learning Algorithm for Continually
        Running Fully Recurrent Neural Networks", 1989.

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> from hf_nextfail.data.rows import Rows
    >>> rows = Rows(torch.tensor([[7, 8, 9]]), torch.tensor([[1, 2]]), torch.tensor([[3, 2]]))
    >>> batch = TeacherForcedObjective(numeral_tokenizer(num_nodes=10)).encode(rows)
    >>> batch["input_ids"].tolist(), batch["labels"].tolist()
    ([[7, 8, 9, 1, 2]], [[-100, -100, -100, 1, 2]])

    ```
    """

    name: ClassVar[str] = "teacher_forced"
    decoding_class: ClassVar[type[Decoding]] = AutoregressiveDecoding
