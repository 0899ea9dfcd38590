"""A mail server in Mailpit's place, whose image only a registry has."""

import json
from importlib.util import find_spec
from pathlib import Path

from tests.stack.stack import PREFIX, RELEASE

CATCHER = Path(__file__).with_name("mail_catcher.py")
# On the api's Python; all else is as the Compose file says.
LIBRARIES = [Path(str(find_spec(name).origin)).parent for name in ("aiosmtpd", "attr", "attrs", "public")]  # type: ignore[union-attr]


def mail_catcher(folder: Path) -> Path:
    """A Compose file, written into `folder`, that has this server for the service `mail`."""
    catcher, override = folder / "mailpit", folder / "mail.yml"
    catcher.write_bytes(CATCHER.read_bytes())
    folder.chmod(0o755)
    catcher.chmod(0o755)
    mounts = [f"{library}:/libraries/{library.name}:ro" for library in LIBRARIES] + [f"{catcher}:/mailpit:ro"]
    mail = {
        "image": f"{PREFIX}api:{RELEASE}",
        "command": ["/mailpit"],
        "environment": {"PYTHONPATH": "/libraries"},
        "volumes": mounts,
    }
    override.write_text(json.dumps({"services": {"mail": mail}}))
    return override
