"""Constrained decoding of token ids; knows ids, not robots."""
