"""A real S3, one for all tests of a run that need it."""
