"""Enums that the database, the rules and the API's schemas share, each in a file of its part."""
