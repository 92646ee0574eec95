"""How far two engines agree: the same task, the same scenes, the same commands, the same states."""
