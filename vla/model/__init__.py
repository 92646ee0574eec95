"""Backbones, heads and the one token sequence they share."""
