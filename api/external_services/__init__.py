"""The services outside of this stack, one file each."""
