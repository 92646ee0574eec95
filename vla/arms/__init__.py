"""Arms as MuJoCo XML, built of primitives."""
