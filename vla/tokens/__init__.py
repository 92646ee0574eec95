"""Action tokens: tokenizers whose grammar allows nothing that does not decode."""
