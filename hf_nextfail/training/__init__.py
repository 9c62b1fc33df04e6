"""One Trainer for all objectives, and what it needs."""
