"""Arms of UFACTORY through their own SDK."""
