"""Outcomes of episodes kept on disk as they come, so that an evaluation can be killed, resumed, and split in shards."""
