"""Files and records to the Hub: one commit, or none at all."""
