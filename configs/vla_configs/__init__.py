"""The configuration gallery, read by Hydra as `pkg://vla_configs`."""
