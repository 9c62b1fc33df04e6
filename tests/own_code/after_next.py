"""Predict the next token, and with a second head the token after it."""

from dataclasses import dataclass

import torch

from hf_nextfail.objectives import TeacherForcedObjective, summed_cross_entropy


@dataclass
class AfterNext(TeacherForcedObjective):
    """Add a linear head that looks one token further.

    Args:
        weight (`float`, above 0, *optional*, defaults to 1.0): of the head's loss.
    """

    name = "after_next"

    weight: float = 1.0

    def heads(self, model):
        vocabulary, width = model.get_output_embeddings().weight.shape
        return torch.nn.Linear(width, vocabulary, bias=False)

    def loss(self, outputs, batch):
        # The state that predicts label k says with the second head what label k + 1 is.
        after_next = summed_cross_entropy(outputs.heads[:, :-1], outputs.labels[:, 1:])
        return super().loss(outputs, batch) | {"after_next": self.weight * after_next}
