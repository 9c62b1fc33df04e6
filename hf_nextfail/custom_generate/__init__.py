"""The decoding that travels with checkpoints: transformers runs a checkpoint's `custom_generate/generate.py`."""
