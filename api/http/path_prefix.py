"""The path below which clients find the api, if a proxy also serves other things."""

from fastapi import Request
from starlette.types import Scope

from api.http.proxies import TrustedProxies
from api.settings import PATH_PREFIX

HEADER = b"x-forwarded-prefix"


def root_path_of(request: Request) -> str:
    """The prefix of the request's path, which links to other paths need; "" if there is none."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


class PathPrefix:
    """Puts the prefix into the scope, as `root_path` and at the start of `path`.

    It is the one in X-Forwarded-Prefix, if that is valid and sent by a trusted proxy; otherwise `prefix`, from the
    settings. A proxy may keep the prefix in the path, or remove it. Requests that bypass the proxy,
    such as an orchestrator's probes, are answered, too.
    """

    def __init__(self, prefix: str, proxies: TrustedProxies) -> None:
        self.prefix = prefix
        self.proxies = proxies

    def find(self, scope: Scope, sent: bytes | None) -> str:
        """Put the prefix into the scope, and return the path below it. `sent` is X-Forwarded-Prefix, if any."""
        path: str = scope["path"]
        prefix = self.prefix
        if sent is not None and self.proxies.have_sent(scope) and PATH_PREFIX.fullmatch(sent.decode("latin-1")):
            prefix = sent.decode()
        if prefix:
            if path == prefix or path.startswith(f"{prefix}/"):
                path = path.removeprefix(prefix) or "/"
            scope["root_path"], scope["path"] = prefix, prefix + path
        return path
