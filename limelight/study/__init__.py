"""A study: its config read, expanded, checked; what decides each stage, and what it costs."""
