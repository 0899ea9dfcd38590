"""Secrets: how files are read, and which secrets can be guessed.

The database's image does both, too, in shell and awk (deploy/postgres). A test compares them.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

DIRECTORY = Path("/run/secrets")
MIN_LENGTH = 16  # bytes
ENOUGH = 24  # bytes that can't be foreseen, however long the rest is
# A US keyboard, with equally long rows: neighbours are 1 or about 11 apart.
KEYS = b"1234567890 qwertyuiop asdfghjkl; zxcvbnm,./"
SHORTEST_REPEAT = 3
BLANKS = " \t\n\v\f\r"


class SettingsWithSecrets(BaseSettings):
    """Settings from the environment, or from files of the same names in /run/secrets."""

    model_config = SettingsConfigDict(
        secrets_dir=DIRECTORY if DIRECTORY.is_dir() else None,
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,  # a URL may have a password in it
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - .env is Compose's
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is read first."""
        directory = getattr(file_secret_settings, "secrets_dir", None)
        return init_settings, env_settings, SecretFiles(settings_cls, directory)


class SecretFiles(SecretsSettingsSource):
    """Settings from files: without a byte order mark, and without blanks and line ends before and after."""

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002 - the library gives it
        field_name: str,
    ) -> tuple[Any, str, bool]:
        """The text of the field's file. ValueError, with the file's name, if it can't be read."""
        for directory in self.secrets_paths:
            path = directory / field_name
            if path.is_file():
                return read(path), field_name, False
        return None, field_name, False


def read(path: Path) -> str:
    """The secret in a file. ValueError, with the file's name, if it can't be read."""
    try:
        return path.read_text("utf-8-sig").strip(BLANKS)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}: the user of the container has to be able to read it") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8") from error


def weakness(secret: str, min_length: int = MIN_LENGTH) -> str | None:
    """Why a secret can be guessed, as the end of a sentence; None if it can't."""
    length = len(secret.encode())
    if not secret:
        return "is not set"
    if length < min_length:
        return f"is shorter than {min_length} characters"
    if 4 * unforeseen(secret) < 3 * min(length, ENOUGH * 4 // 3):
        return "repeats itself, or follows the alphabet or the keyboard"
    return None


def unforeseen(secret: str) -> int:
    """How many bytes of a secret the bytes before them do not give away, counted up to ENOUGH.

    The secret is divided as LZ77 does it: what has occurred before counts as one byte, if it has at least three. So do
    steps that have occurred before, from one code to the next (abcd, 8642), or from one key to the next (qwer, 1q2w).
    A random secret has next to none of these, whatever its alphabet.
    """
    text = secret.encode().lower()
    keys = [KEYS.find(byte) if byte in KEYS else 1000 + byte for byte in text]
    views = (list(text), [0, *(b - a for a, b in pairwise(text))], [0, *(b - a for a, b in pairwise(keys))])
    at = count = 0
    while at < len(text) and count < ENOUGH:
        at += max(1, *(repeated(view, at, first) for view, first in zip(views, (0, 1, 1), strict=True)))
        count += 1
    return count


def repeated(view: list[int], at: int, first: int) -> int:
    """How many elements from `at` on are those from an earlier place on; 0 if they are fewer than three."""
    longest = 0
    for start in range(first, at):
        length = 0
        while at + length < len(view) and view[start + length] == view[at + length]:
            length += 1
        longest = max(longest, length)
    return longest if longest >= SHORTEST_REPEAT else 0
