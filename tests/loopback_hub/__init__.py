"""A small Hugging Face Hub on loopback, for tests: what clients push to it, fresh processes load from it by name."""
