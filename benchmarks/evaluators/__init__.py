"""Both sides of the comparison `evaluation`, each in a process of its own."""
