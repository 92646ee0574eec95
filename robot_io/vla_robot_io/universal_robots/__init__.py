"""Arms of Universal Robots through ur-rtde, and a controller of theirs that is emulated."""
