"""`python -m api.server [OPTIONS]`: gunicorn, configured for the api; the options are gunicorn's.

gunicorn and OpenTelemetry read some environment variables when they are imported, and fail with a traceback if they
can't use one. So all settings are checked first, and each that can't be used is reported in a line.
"""

import os
import sys
import tempfile
from pathlib import Path

import structlog

from api.log import configure_log
from api.settings import load_settings

WRONG_SETTINGS = 3  # as the migrator says it
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a tmpfs in every container
CONFIGURATION = Path(__file__).parent.parent.parent / "deploy" / "gunicorn.conf.py"


def _require_usable_settings() -> None:
    """ValueError, with a line for each setting that can't be used, if there is any."""
    settings = load_settings()
    settings.require_usable()
    if settings.traces_url is not None:
        from api.external_services.collector import require_usable  # noqa: PLC0415 - nothing else needs it

        require_usable()
    if os.environ.get("WEB_CONCURRENCY") == "":
        raise ValueError("WEB_CONCURRENCY: is empty; set a number from 1 up, or leave it out")


def _make_folder_for_metrics() -> None:
    """A new folder, which the processes write what they measure into; the library finds it here when it is imported."""
    if load_settings().metrics_port is not None:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="api-metrics-", dir=SHARED_MEMORY)


def main() -> None:
    """Serve until a signal comes; exit 3 if the settings can't be used."""
    # Of no effect here; FastAPI, when it is imported, fails without the package of each that is named.
    os.environ.pop("OTEL_PROPAGATORS", None)
    try:
        _require_usable_settings()
    except ValueError as error:
        configure_log(os.environ.get("LOG_FORMAT", ""))
        for reason in str(error).splitlines():
            structlog.get_logger("api").error("settings can't be used", reason=reason)
        sys.exit(WRONG_SETTINGS)
    _make_folder_for_metrics()
    import gunicorn.__main__ as command  # noqa: PLC0415 - only now can it be imported
    from gunicorn.app.wsgiapp import run  # noqa: PLC0415

    # gunicorn also restarts itself with these arguments.
    sys.argv = [str(command.__file__), "--config", str(CONFIGURATION), *sys.argv[1:]]
    run()


if __name__ == "__main__":
    main()
