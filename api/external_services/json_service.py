"""A service that is asked by POSTs of JSON, each with an `Idempotency-Key`."""

import asyncio
from enum import Enum, auto
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from api.external_services import http
from api.metrics import calling

# After these, the request can't have arrived.
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)

MAX_SAID = 200  # bytes of a service's own words

M = TypeVar("M", bound=BaseModel)


class Failure(Enum):
    """How a service failed."""

    UNREACHABLE = auto()  # as it will be for any other request
    REFUSED = auto()  # as it will the same request again
    FAILED = auto()


class ServiceError(Exception):
    """A service failed; the message says how, and `said` what it answered. Unless `may_be_done`, it has done nothing of
    what was asked.
    """

    def __init__(self, message: str, *, service: str, failure: Failure, may_be_done: bool, said: str = "") -> None:
        super().__init__(message)
        self.service = service
        self.failure = failure
        self.may_be_done = may_be_done
        self.said = said

    @property
    def is_refusal(self) -> bool:
        """Whether the service works, and does not want this request."""
        return self.failure is Failure.REFUSED


class Service:
    """A service at a URL. It keeps connections open, until `close()`."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._client = httpx.AsyncClient(
            base_url=url, timeout=http.TIMEOUT, trust_env=False, verify=http.tls(url), event_hooks=http.PASS_ON
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def post(self, path: str, json: dict[str, Any], key: str, expected: set[int]) -> httpx.Response:
        """The answer to a POST of `json`, if its status is one of those `expected`; ServiceError otherwise.

        It is sent again after an error of the connection or of the server (not if the server takes too long), each
        time with the same idempotency key.
        """
        with calling(self.name.removesuffix(" service")):
            return await self._post(path, json, key, expected)

    async def _post(self, path: str, json: dict[str, Any], key: str, expected: set[int]) -> httpx.Response:
        may_be_done = False

        async def send() -> httpx.Response:
            nonlocal may_be_done
            try:
                response = await self._client.post(path, json=json, headers={"Idempotency-Key": key})
            except httpx.HTTPError as error:
                may_be_done |= not isinstance(error, NOT_SENT)
                raise
            if response.is_server_error:
                may_be_done = True
                raise http.TryAgainError(f"answers {response.status_code}")
            return response

        try:
            async with asyncio.timeout(http.MAX_SECONDS):
                response: httpx.Response = await http.tries()(send)
        except (TimeoutError, httpx.TimeoutException) as error:
            may_be_done |= isinstance(error, TimeoutError)
            raise self._error("does not answer in time", _kind_of(error), may_be_done=may_be_done) from error
        except httpx.HTTPError as error:
            raise self._error("can't be reached", _kind_of(error), may_be_done=may_be_done) from error
        except http.TryAgainError as error:
            raise self._error(str(error), Failure.FAILED, may_be_done=may_be_done) from error
        status = response.status_code
        if status not in expected:
            is_final = response.is_client_error and status not in http.NOT_FOR_GOOD
            raise self._error(
                f"answers {status}",
                Failure.REFUSED if is_final else Failure.FAILED,
                may_be_done=may_be_done or not response.is_client_error,
                said=_printable(response.content),
            )
        return response

    def read(self, response: httpx.Response, model: type[M]) -> M:
        """The content of an answer; ServiceError if it does not fit `model`."""
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            message = "answers something that can't be understood"
            raise self._error(message, Failure.FAILED, may_be_done=True) from error

    def _error(self, what: str, failure: Failure, *, may_be_done: bool, said: str = "") -> ServiceError:
        return ServiceError(
            f"The {self.name} {what}", service=self.name, failure=failure, may_be_done=may_be_done, said=said
        )


def _kind_of(error: Exception) -> Failure:
    return Failure.UNREACHABLE if isinstance(error, NOT_SENT) else Failure.FAILED


def _printable(answer: bytes) -> str:
    """The beginning of a service's answer, in one line, without what a database or a terminal can't take."""
    text = answer[:MAX_SAID].decode(errors="replace")
    return "".join(c if c.isprintable() else " " for c in text).strip()
