"""Reads photos that strangers have made: in a process of its own, which can do nothing else."""
