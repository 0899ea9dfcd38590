"""The routes: they declare requests and answers, and delegate to `api.crud`."""
