"""TLS: what a URL says about it, and whether its files can be used."""

import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

SYSTEM = "system"  # sslrootcert's word for the CAs that the machine trusts
ENCRYPTS = {"require", "verify-ca", "verify-full"}
VERIFIES = {"verify-ca", "verify-full"}


def with_mode(parameters: Mapping[str, str]) -> dict[str, str]:
    """`parameters`, with the sslmode that libpq would use. ValueError if they contradict each other or a file fails."""
    found = dict(parameters)
    if found.get("sslrootcert") == SYSTEM and found.setdefault("sslmode", "verify-full") != "verify-full":
        raise ValueError("sslrootcert=system: write sslmode=verify-full, because anybody can get some certificate")
    mode = found.get("sslmode", os.environ.get("PGSSLMODE", "prefer"))
    if mode in VERIFIES and not _has_root(found):
        raise ValueError(
            f"sslmode={mode}: write the CA's file in sslrootcert, or sslrootcert=system with sslmode=verify-full"
        )
    if found.get("sslnegotiation") == "direct" and mode not in ENCRYPTS:
        raise ValueError("sslnegotiation=direct: write sslmode=require, verify-ca or verify-full")
    if found.get("channel_binding") == "require" and not (
        mode in VERIFIES or (mode == "require" and "sslrootcert" in found)
    ):
        raise ValueError(
            "channel_binding=require: the driver can't; write sslmode=verify-full, and the CA's file in sslrootcert "
            "or sslrootcert=system, which proves as well which server it is, or leave channel_binding out"
        )
    if "sslkey" in found and "sslcert" not in found:
        raise ValueError("sslkey: write sslcert, too")
    context(found)
    return found


def context(parameters: Mapping[str, str]) -> ssl.SSLContext:
    """What the driver needs to verify the server, and to prove who it is. ValueError if a file can't be used."""
    root, cert, crl = (parameters.get(name) for name in ("sslrootcert", "sslcert", "sslcrl"))
    made = ssl.create_default_context() if root == SYSTEM else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.set_alpn_protocols(["postgresql"])
    if root and root != SYSTEM:
        _load("sslrootcert", root, lambda: made.load_verify_locations(cafile=root))
    if crl:
        _load("sslcrl", crl, lambda: made.load_verify_locations(cafile=crl))
        made.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if cert:
        key, passphrase = parameters.get("sslkey"), parameters.get("sslpassword", "")
        if key:
            _load("sslkey", key, lambda: None)
        _load("sslcert", cert, lambda: made.load_cert_chain(cert, key, lambda: passphrase))
    return made


def _has_root(parameters: Mapping[str, str]) -> bool:
    by_default = [os.environ.get("PGSSLROOTCERT"), os.path.expanduser("~/.postgresql/root.crt")]  # noqa: PTH111 - no HOME
    return "sslrootcert" in parameters or any(path and Path(path).is_file() for path in by_default)


def _load(name: str, path: str, load: Callable[[], None]) -> None:
    try:
        Path(path).read_bytes()
        load()
    except ssl.SSLError as error:
        why = {
            "sslcert": "the certificate and its key (sslkey) do not belong together, or it needs another sslpassword"
        }.get(name, "has no certificate in PEM form")
        raise ValueError(f"{name}={path}: {why}") from error
    except OSError as error:
        raise ValueError(f"{name}={path}: {error.strerror}") from error
