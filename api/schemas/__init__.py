"""The bodies and parameters of the API: one file per resource."""
