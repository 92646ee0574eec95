"""Backbones that others trained: a vision-language model of Hugging Face's `transformers`, by known names."""
