"""Our rows and verifiers in the Trainers and harnesses of others: TRL, lm-evaluation-harness, inspect-ai.

All of it asks the verifier of a task. It can be imported without these packages.
"""

from hf_nextfail.harnesses.reward import reward

__all__ = ["reward"]
