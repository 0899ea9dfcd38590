"""Methods of HTTP."""

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}  # RFC 9110, section 9.2.1; they change nothing here
