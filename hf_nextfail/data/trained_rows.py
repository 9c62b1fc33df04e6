"""Which problems a model was trained on: training rows are made again, and nothing of them is kept."""

import numpy as np

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.tasks.base import SHARD_ROWS

#: A stream of more training rows is not generated again to look for problems in it: these many take seconds.
MOST_ROWS = 2_000_000


def which_were_trained_on(keys: np.ndarray, config: TaskConfig) -> np.ndarray:
    """Say which of these split keys are those of training rows of a configuration, made again shard by shard."""
    found = np.zeros(len(keys), dtype=bool)
    for shard in range(-(-config.num_train // SHARD_ROWS)):
        num_rows = min(SHARD_ROWS, config.num_train - shard * SHARD_ROWS)
        columns = config.task.sample_shard("train", shard, config.seed, num_rows)
        found |= np.isin(keys, config.task.split_key(columns))
    return found
