"""The Hugging Face hub, asked in a way that ends: its own client waits for a silent connection without a limit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import SourceError
from harness.sources.download import STALL_SECONDS, demand_network, no_stall

if TYPE_CHECKING:
    import httpx

# Answers in a row that say "later": the client would wait after each, and for as long as the hub asks it to.
MOST_REFUSALS = 3
TOO_MANY, SERVER_ERROR = 429, 500
# What the client reads its waiting time from.
WAITING = ("retry-after", "ratelimit", "ratelimit-policy")

T = TypeVar("T")


def fetched(fetch: Callable[[], T], what: str, instead: str) -> T:
    """What `fetch` gives, which asks the hub through its Python client.

    A connection that stays silent ends it within `STALL_SECONDS`; one that is slow and moves on does not.

    Args:
        fetch: the download.
        what: it brings, as a sentence names it.
        instead: the way out.

    Raises:
        SourceError: the hub cannot be reached, stops answering, or has no such thing.
    """
    from huggingface_hub import constants

    demand_network(constants.ENDPOINT, what, instead)
    try:
        with no_stall(), _impatient():
            return fetch()
    except Exception as error:
        said = str(error).strip().rstrip(".")
        raise SourceError(f"{what} could not be downloaded from {constants.ENDPOINT}: {said}. {instead}") from error


@contextmanager
def _impatient() -> Iterator[None]:
    """Within it, the hub's client waits `STALL_SECONDS` for the next byte, whatever its callers ask, and asks once."""
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    before = constants.HF_HUB_DISABLE_XET
    # Its downloader is a library of its own, whose retries no option bounds; plain HTTP serves the same files.
    constants.HF_HUB_DISABLE_XET = True
    set_client_factory(_factory())
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = before
        set_client_factory(default_client_factory)


def _factory() -> Callable[[], httpx.Client]:
    """Makes clients that share what they know of hosts that went silent."""
    import httpx
    from huggingface_hub.utils._http import hf_request_event_hook

    silent: dict[str, str] = {}
    refusals: dict[str, int] = {}
    lock = threading.Lock()

    def gone(host: str, error: Exception) -> SourceError:
        # Remembered, for several files are fetched at a time, and each would wait for itself.
        reason = f"no answer for {STALL_SECONDS:.0f} s" if isinstance(error, httpx.TimeoutException) else str(error)
        silent[host] = f"{host} stopped answering ({reason})"
        return SourceError(silent[host])

    class Body(httpx.SyncByteStream):
        """The body of an answer; silence in the middle of it is no reason to begin again."""

        def __init__(self, body: Any, host: str) -> None:
            self._body, self._host = body, host

        def __iter__(self) -> Iterator[bytes]:
            try:
                yield from self._body
            except httpx.TransportError as error:
                raise gone(self._host, error) from error

        def close(self) -> None:
            self._body.close()

    class Client(httpx.Client):
        """As the hub's library makes it, and bounded. What it raises is no error that the library tries again after."""

        def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
            host = request.url.host
            if host in silent:
                raise SourceError(silent[host])
            request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), STALL_SECONDS)
            try:
                response = super().send(request, **options)
            except httpx.TransportError as error:
                raise gone(host, error) from error
            with lock:
                later = response.status_code == TOO_MANY or response.status_code >= SERVER_ERROR
                refusals[host] = refusals.get(host, 0) + 1 if later else 0
            if refusals[host] >= MOST_REFUSALS:
                response.close()
                raise SourceError(f"{host} answers {response.status_code} {response.reason_phrase}")
            for name in WAITING:
                response.headers.pop(name, None)
            if not response.is_stream_consumed:
                response.stream = Body(response.stream, host)
            return response

    return lambda: Client(
        event_hooks={"request": [hf_request_event_hook]}, follow_redirects=True, timeout=STALL_SECONDS
    )
