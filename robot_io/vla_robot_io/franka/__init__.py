"""Arms of Franka through franky, and what their controllers refuse that simulators do not."""
