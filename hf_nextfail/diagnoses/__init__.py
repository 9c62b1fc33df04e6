"""WHY: pure functions, numbers as data, the verdict in words. No torch."""
