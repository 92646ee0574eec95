"""The operator's console: a local web page beside a run, in a process of its own."""
