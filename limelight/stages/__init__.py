"""The stages of a study as functions: what the scripts and a notebook call. Each reads files and returns what it writes."""
