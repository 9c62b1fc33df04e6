"""A model and rows to what it thinks of them and what it writes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather
from torch import nn
from torch.nn.functional import cross_entropy, pad
from transformers import PreTrainedTokenizerBase
from transformers.utils.logging import tqdm

from hf_nextfail.data.row_store import RowStore
from hf_nextfail.data.rows import Rows
from hf_nextfail.decoding import Decoding
from hf_nextfail.models.checks import num_positions
from hf_nextfail.models.completion_logits import IGNORED, at_completion, completion_logits


@dataclass(frozen=True)
class Scores:
    """What one pass says of each completion token.

    Args:
        correct (`torch.Tensor` `(n, T)` of `bool`): whether it is the most likely one; true past the end of a row.
        log_probs (`torch.Tensor` `(n, T)`): its logarithmic probability in nats; 0 past the end.
    """

    correct: torch.Tensor
    log_probs: torch.Tensor


class Inference:
    """Run a model over rows, in batches, alone or together with other processes.

    Args:
        model (`nn.Module`): a causal LM, run in the precision of its forward.
        decoding (`Decoding`): how the model writes, and what it sees before each token.
        tokenizer (`PreTrainedTokenizerBase`): the model's.
        batch_size (`int`, >= 1): rows of one pass.
        description (`str`, *optional*): show progress bars under this name.
        shared (`bool`): divide the rows among the processes that accelerate knows. Each has the whole model, and each
            must make the same calls; all get the same answers.
    """

    def __init__(
        self,
        model: nn.Module,
        decoding: Decoding,
        tokenizer: PreTrainedTokenizerBase,
        batch_size: int,
        description: str | None,
        shared: bool,
    ):
        self.model = model
        self.decoding = decoding
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.description = description
        self.shared = shared
        self.device = next(model.parameters()).device
        config = getattr(model, "config", None)
        self.num_positions: float = (config and num_positions(model)) or math.inf

    @torch.no_grad()
    def score(self, rows: RowStore, what: str = "scoring") -> Scores | None:
        """Predict every completion token in one pass, with what the decoding shows before it; `None` if none can."""
        if not self.decoding.scores_tokens:
            return None
        correct, log_probs = [], []
        was_training = self.model.training
        self.model.eval()
        for indices in self._batches(torch.arange(len(rows)), what):
            taken = rows.take(indices).to(self.device)
            logits, labels, first = completion_logits(self.model, self.decoding.view(taken))
            right = logits.argmax(dim=-1) == labels  # (B, K)
            losses = cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")  # (B, K)
            room = (0, rows.completions.longest - taken.completion_ids.shape[1])
            for pieces, values in ((correct, right), (log_probs, -losses)):
                pieces.append(pad(at_completion(values, first, taken.lengths), room))
        self.model.train(was_training)
        inside = rows.inside
        return Scores(
            self._everyones(correct, len(inside)) | ~inside,
            self._everyones(log_probs, len(inside)).double().masked_fill(~inside, 0),
        )

    def write(
        self,
        rows: RowStore,
        which: torch.Tensor,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Decode the rows of the given indices free-running, by default greedily: ids `(len(which), T)`.

        See [`Decoding.write`] for `temperature` and `generator`.
        """
        num_tokens = rows.completions.longest
        if not len(which):
            return torch.zeros((0, num_tokens), dtype=torch.int64)
        was_training = self.model.training
        self.model.eval()
        drawing = {"temperature": temperature, "generator": generator} if temperature else {}
        batches = self._batches(which, "decoding")
        decoded = [self._write(rows.take(indices), num_tokens, drawing) for indices in batches]
        self.model.train(was_training)
        return self._everyones(decoded, len(which))

    def _write(self, rows: Rows, num_tokens: int, drawing: dict[str, Any]) -> torch.Tensor:
        # Behind the longest prompt of a batch there may be too few positions for its longest completion.
        fit = min(num_tokens, self.num_positions - rows.prompt_ids.shape[1])
        if fit < rows.completion_ids.shape[1] and len(rows) > 1:
            halves = torch.arange(len(rows)).chunk(2)
            return torch.cat([self._write(rows.take(half), num_tokens, drawing) for half in halves])
        written = self.decoding.write(self.model, rows.to(self.device), fit, **drawing)
        return pad(written, (0, num_tokens - fit), value=self.tokenizer.pad_token_id)

    def write_texts(self, rows: RowStore, scores: Scores | None, completions: Sequence[str]) -> list[str]:
        """Return what is written for each row, decoding only those rows whose output is not known."""
        known = scores.correct.all(dim=1) if self.decoding.one_pass_exact else torch.zeros(len(rows), dtype=torch.bool)
        unknown = (~known).nonzero().squeeze(1)
        texts = self.tokenizer.batch_decode(self.write(rows, unknown), skip_special_tokens=True)
        written = list(completions)
        for row, text in zip(unknown.tolist(), texts, strict=True):
            written[row] = text
        return written

    def exact_match(self, rows: RowStore, scores: Scores | None) -> torch.Tensor:
        """Say for each row whether greedy free-running output is right: `(n,)` of `bool`."""
        if self.decoding.one_pass_exact:
            return scores.correct.all(dim=1)
        every = torch.arange(len(rows))
        return ((self.write(rows, every) == rows.completions.take(every)) | ~rows.inside).all(dim=1)

    def _batches(self, indices: torch.Tensor, what: str) -> Iterator[torch.Tensor]:
        if self.shared:
            state = PartialState()
            share = -(-len(indices) // state.num_processes)  # the same on all, so that the last rows may come twice
            own = torch.arange(share * state.process_index, share * (state.process_index + 1))
            indices = indices[own.clamp(max=len(indices) - 1)]
        pieces = indices.split(self.batch_size)
        return iter(tqdm(pieces, desc=f"{self.description}: {what}", leave=False) if self.description else pieces)

    def _everyones(self, pieces: list[torch.Tensor], count: int) -> torch.Tensor:
        values = torch.cat(pieces)
        return (gather(values)[:count] if self.shared else values).cpu()
