"""Training rows are made again to learn what a model was trained on."""

import numpy as np
from datasets import load_dataset

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.data.trained_rows import which_were_trained_on
from hf_nextfail.tasks import SiblingDiscovery
from hf_nextfail.tasks.base import SHARD_ROWS

TASK = SiblingDiscovery(num_parents=5, num_children=50)


def test_problems_of_all_shards_but_no_others_were_trained_on():
    num_train = SHARD_ROWS + 5
    config = TaskConfig(task=TASK, num_train=num_train, num_validation=0, num_test=100, seed=3)
    splits = load_dataset("nextfail/sibling_discovery", TASK.config_name, num_train=num_train, num_test=100, seed=3)
    keys = {split: TASK.split_key(TASK.sample_shard(split, 0, 3, 100)) for split in ("train", "test")}
    last = TASK.split_key(TASK.sample_shard("train", 1, 3, 5))
    assert len(splits["train"]) == num_train
    assert which_were_trained_on(np.concatenate([keys["train"], last]), config).all()
    assert not which_were_trained_on(keys["test"], config).any()


def test_of_few_training_rows_only_these_count():
    config = TaskConfig(task=TASK, num_train=3, num_validation=0, num_test=0, seed=3)
    keys = TASK.split_key(TASK.sample_shard("train", 0, 3, 200))
    assert np.array_equal(which_were_trained_on(keys, config), np.isin(keys, keys[:3]))
    assert not which_were_trained_on(keys, config).all()
