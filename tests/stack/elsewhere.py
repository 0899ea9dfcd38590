"""The stack as somebody else has it: their checkout, their .env, and `make up`."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.checkouts import clone
from tests.conftest import ROOT
from tests.ports import find_free_port
from tests.stack.mail import mail_catcher
from tests.stack.stack import PREFIX, RELEASE, Stack, docker

IMAGES = f"{PREFIX}elsewhere-"
BUILT = [f"{IMAGES}{name}" for name in ("db:18", "storage:seaweedfs", f"api:{RELEASE}", f"migrator:{RELEASE}")]


@contextmanager
def of_somebody_else(folder: Path) -> Iterator[Stack]:
    """A stack from a checkout under a strict umask, whose scripts and .env have Windows' line ends, with mail."""
    checkout = clone(folder / "checkout")
    for script in (path for name in ("postgres", "storage") for path in (checkout / "deploy" / name).iterdir()):
        script.write_bytes(script.read_bytes().replace(b"\n", b"\r\n"))
    example = re.search(r"```dotenv\n(.*?)```", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL)
    assert example
    settings = example[1]
    settings += "SMTP_URL=smtp://zoo@mail.example:587\nSMTP_PASSWORD=secret\n"  # who sends real mail otherwise
    (checkout / ".env").write_bytes(settings.replace("\n", "\r\n").encode())
    # As `umask 077` leaves them; but for the requirements, which only root reads: all would be installed again.
    strict = [path for path in checkout.iterdir() if path.name != "requirements"]
    subprocess.run(["chmod", "-R", "u=rwX,go=", *strict], check=True)
    (checkout / "deploy" / "postgres" / "10-roles.sh").chmod(0o600)

    stack = Stack(mail_catcher(folder), root=checkout, IMAGES=IMAGES, MAIL_PORT=str(find_free_port()))

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
