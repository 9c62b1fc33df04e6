"""Which rows are about the same graph: standard errors are taken over graphs."""

import numpy as np
import pyarrow as pa
from datasets import Dataset

from hf_nextfail.tasks.graphs import hash_edges


def graph_hashes(dataset: Dataset) -> np.ndarray | None:
    """Hash the graph of each row, or return `None` when there are no `edges` of ours, or not as many in every row."""
    if "edges" not in dataset.column_names:
        return None
    edges = dataset.select_columns("edges").with_format("arrow")[:].column(0).combine_chunks()
    lists = pa.types.is_list(edges.type) and pa.types.is_list(edges.type.value_type)
    if not lists or not pa.types.is_integer(edges.type.value_type.value_type):
        return None
    if len(edges.value_lengths().unique()) != 1 or edges.flatten().value_lengths().unique().to_pylist() != [2]:
        return None
    return hash_edges(edges.flatten().flatten().to_numpy().reshape(len(dataset), -1, 2))
