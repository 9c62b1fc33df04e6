"""Tasks to Arrow to token ids."""
