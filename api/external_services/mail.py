"""Mail, by SMTP."""

from email.message import EmailMessage
from email.utils import make_msgid
from urllib.parse import urlsplit

import aiosmtplib
import structlog
from email_validator import validate_email
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from api.metrics import calling
from api.settings import Settings

TIMEOUT_SECONDS = 10
ATTEMPTS = 4

SMTP_TRANSIENT = range(400, 500)  # RFC 5321, section 4.2.1

log = structlog.get_logger(__name__)


def _is_transient(error: BaseException) -> bool:
    code = error.code if isinstance(error, aiosmtplib.SMTPResponseException) else None
    return code in SMTP_TRANSIENT if code else isinstance(error, OSError)


def _ascii(address: str) -> str:
    # It was checked before it was stored. What follows it here lets the library read x@localhost, too.
    return str(validate_email(f"{address}.example", check_deliverability=False).ascii_email).removesuffix(".example")


class Mail:
    """Sends mail through the server in SMTP_URL; without one, which only `local` allows, logs it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send(self, to: str, subject: str, text: str) -> None:
        """Send a mail, in several attempts if the server is down. A failure is logged, without the text.

        Never raises: the request that asked for it was answered long before.
        """
        message = EmailMessage()
        message["From"] = self._settings.mail_from
        message["To"] = _ascii(to)  # every server accepts it
        message["Subject"] = subject
        message["Message-ID"] = make_msgid(domain=message["From"].addresses[0].domain)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies, please
        message.set_content(text)
        if self._settings.smtp_url is None:
            log.info("mail not sent: SMTP_URL is not set", to=to, subject=subject, text=text)
            return
        try:
            with calling("mail"):
                await self._deliver(self._settings.smtp_url, message)
        except (OSError, aiosmtplib.SMTPException, ValueError) as error:
            log.error("mail not sent", subject=subject, reason=type(error).__name__)  # noqa: TRY400 - one line

    @retry(
        retry=retry_if_exception(_is_transient),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=0.5, max=8),
        reraise=True,
    )
    async def _deliver(self, url: str, message: EmailMessage) -> None:
        server = urlsplit(url)
        user, password = self._settings.smtp_login() or (None, None)
        implicit_tls = server.scheme == "smtps"
        await aiosmtplib.send(
            message,
            hostname=server.hostname,
            port=server.port,
            username=user,
            password=password,
            use_tls=implicit_tls,
            # A password is never sent unencrypted; without a password, TLS if the server offers it.
            start_tls=None if implicit_tls or not password else True,
            timeout=TIMEOUT_SECONDS,
        )
