"""Web, robot and language-only data in one stream: a function of a seed and a position, so that it resumes exactly."""
