"""`python -m api.server [OPTIONS]`: gunicorn, on its configuration of the api; the options are gunicorn's.

gunicorn reads some of the environment when it is imported, and fails with a traceback on what it can't use. Here all
settings are looked at first, and each that can't be used is refused in a line.
"""

import os
import sys
from pathlib import Path

import structlog

from api.log import configure_log
from api.settings import load_settings

CONFIGURATION = Path(__file__).parent.parent.parent / "deploy" / "gunicorn.conf.py"


def _require_usable_settings() -> None:
    """ValueError, with a line for each setting that can't be used, where there are such."""
    load_settings().require_usable()
    if os.environ.get("WEB_CONCURRENCY") == "":
        raise ValueError("WEB_CONCURRENCY: is empty; write a number from 1 on, or leave it out")


def main() -> None:
    """Serve until a signal comes; exit 1 where the settings can't be used."""
    try:
        _require_usable_settings()
    except ValueError as error:
        configure_log(os.environ.get("LOG_FORMAT", ""))
        for reason in str(error).splitlines():
            structlog.get_logger("api").error("settings can't be used", reason=reason)
        sys.exit(1)
    import gunicorn.__main__ as command  # noqa: PLC0415 - when it can be imported
    from gunicorn.app.wsgiapp import run  # noqa: PLC0415

    # With these it starts itself anew, too.
    sys.argv = [str(command.__file__), "--config", str(CONFIGURATION), *sys.argv[1:]]
    run()


if __name__ == "__main__":
    main()
