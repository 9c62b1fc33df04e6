"""All completion tokens at once, from the prompt and dummies."""

from typing import ClassVar

from hf_nextfail.decoding import Decoding, ParallelDecoding
from hf_nextfail.objectives.base import Objective


class TeacherlessObjective(Objective):
    """Predict all completion tokens at once, from the prompt and dummy tokens in the place of the true ones.

    With no true token to follow there is no Clever Hans cheat: the model has to find the path before it writes the
    first step. It learns on easier graphs only.

    ```
    input_ids   p_1 ... p_P   $  ...  $
    labels       .  ...  .   r_1 ... r_T        (. is -100)
    ```

    *Adds parameters*: none; a pretrained model gets one embedding, of the dummy token.

    *Needs*: a padding and a dummy token.

    *Decodes*: in one parallel pass.

    *Relations*: teacher forcing shows the true tokens where this shows dummies. It is better where the first token
    needs planning, and worse where each token is easy given the true one before it.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): with a dummy token, as `numeral_tokenizer` and `load_tokenizer` give it.

    Raises:
        ValueError: if the tokenizer has no dummy token.

    Reference: Bachmann and Nagarajan (arXiv 2403.06963), after Monea, Joulin and Grave, "PaSS: Parallel Speculative
        Sampling" (arXiv 2311.13581).

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> from hf_nextfail.data.rows import Rows
    >>> rows = Rows(torch.tensor([[7, 8, 9]]), torch.tensor([[1, 2]]), torch.tensor([[3, 2]]))
    >>> batch = TeacherlessObjective(numeral_tokenizer(num_nodes=10)).encode(rows)
    >>> batch["input_ids"].tolist(), batch["labels"].tolist()
    ([[7, 8, 9, 13, 13]], [[-100, -100, -100, 1, 2]])

    ```
    """

    name: ClassVar[str] = "teacherless"
    decoding_class: ClassVar[type[Decoding]] = ParallelDecoding
