"""Our policies where others evaluate, and theirs where we do: what is called how there, and what is whose unit."""
