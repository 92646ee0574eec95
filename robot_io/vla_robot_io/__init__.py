"""Arms and cameras, the safety envelope before them, and the control loop. Nothing here is safety-rated."""
