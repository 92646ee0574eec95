"""Where episodes are computed, besides this machine's own processes: a Ray cluster, or a SLURM queue."""
