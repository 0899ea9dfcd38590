"""Photos of the animals: their rows, and their objects in the storage."""
