"""Training rows that never end."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from datasets import IterableDataset


class EndlessStream(torch.utils.data.IterableDataset):
    """Read a stream again and again, as one, whole in each process, which takes its part of every batch.

    The Trainer counts the batches of a stream from its beginning on, so a resumed run finds its place in any pass.
    accelerate would have each process read other shards of a `datasets.IterableDataset`, or have the first send the
    others their rows, which it cannot when they are padded to different lengths.

    Args:
        stream (`IterableDataset`): the rows.
    """

    def __init__(self, stream: IterableDataset):
        self.stream = stream

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number in itertools.count():
            self.stream.set_epoch(number)  # by which it may shuffle
            empty = True
            for row in self.stream:
                empty = False
                yield row
            if empty:
                return
