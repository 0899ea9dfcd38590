"""The stack as somebody else has it: their checkout, their .env, and `make up`."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.checkouts import clone
from tests.conftest import ROOT, find_free_port
from tests.stack.stack import PREFIX, RELEASE, Stack, docker

IMAGES = f"{PREFIX}elsewhere-"
BUILT = [f"{IMAGES}{name}" for name in ("db:18", "storage:seaweedfs", f"api:{RELEASE}", f"migrator:{RELEASE}")]
CATCHER = Path(__file__).with_name("mail_catcher.py")
# A server with aiosmtpd in Mailpit's place, on the api's Python; all else is as the Compose file says.
LIBRARIES = [Path(str(find_spec(name).origin)).parent for name in ("aiosmtpd", "attr", "attrs", "public")]  # type: ignore[union-attr]


@contextmanager
def of_somebody_else(folder: Path) -> Iterator[Stack]:
    """A stack from a checkout under a strict umask, whose scripts and .env have Windows' line ends, with mail."""
    checkout = clone(folder / "checkout")
    for script in (path for name in ("postgres", "storage") for path in (checkout / "deploy" / name).iterdir()):
        script.write_bytes(script.read_bytes().replace(b"\n", b"\r\n"))
    example = re.search(r"```dotenv\n(.*?)```", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL)
    assert example
    # And the settings of somebody who sends real mail otherwise.
    settings = f"{example[1]}SMTP_URL=smtp://zoo@mail.example:587\nSMTP_PASSWORD=secret\n"
    (checkout / ".env").write_bytes(settings.replace("\n", "\r\n").encode())
    # As `umask 077` leaves them; but for the requirements, which only root reads: all would be installed again.
    strict = [path for path in checkout.iterdir() if path.name != "requirements"]
    subprocess.run(["chmod", "-R", "u=rwX,go=", *strict], check=True)
    (checkout / "deploy" / "postgres" / "10-roles.sh").chmod(0o600)

    catcher, override = folder / "mailpit", folder / "compose.yml"
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
    stack = Stack(override, root=checkout, IMAGES=IMAGES, MAIL_PORT=str(find_free_port()))

    def make(*arguments: str) -> None:
        environment = stack.environment | stack.names
        subprocess.run(["make", "--silent", *arguments], cwd=checkout, env=environment, check=True, timeout=900)

    try:
        make("up", "MAIL=1")
        yield stack
        make("down")
        assert stack.compose("ps", "--all", "--services").stdout.strip() == ""  # the mail catcher goes with the others
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "0", check=False)
        docker("image", "rm", "--force", *BUILT)
