"""Example strategies, one file and one screen each."""
