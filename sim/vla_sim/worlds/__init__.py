"""Worlds: what a task stands on. Tasks are written against `vla_sim.worlds.world.World` alone."""
