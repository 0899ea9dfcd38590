"""The routes: they declare what they take and give, and delegate to `api.crud`."""
