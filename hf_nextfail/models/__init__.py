"""Causal LMs: a checkpoint by name, or a configuration from scratch."""

from hf_nextfail.models.build import build_model

__all__ = ["build_model"]
