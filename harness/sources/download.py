"""Fetching published weights where a network is reachable, and saying so quickly where none is."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

from harness.errors import SourceError

# Together less than the 15 seconds within which a name that cannot be reached has its answer.
PROBE_SECONDS = 5.0
STALL_SECONDS = 6.0


OWN_WEIGHTS = "Give `weights:` the path of a local file instead (safetensors, or torch.save of a state dict)"


def demand_network(url: str, what: str, instead: str = OWN_WEIGHTS) -> None:
    """Make sure that the host of `url` answers, within `PROBE_SECONDS`.

    Args:
        url: where the download would come from.
        what: it would be, as a sentence names it.
        instead: the way out.

    Raises:
        SourceError: it does not; the sentence says what could not be fetched and the way out.
    """
    failure: list[str] = ["no answer"]

    def probe() -> None:
        request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "weighin"})
        try:
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
                failure.clear()
        except urllib.error.HTTPError:
            failure.clear()  # An answer, if an unfriendly one: the download itself will say more.
        except Exception as error:
            failure[0] = str(getattr(error, "reason", error))

    # In a thread, because no timeout covers the name look-up.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    if failure:
        raise SourceError(
            f"{what} would have to be downloaded, and {urlparse(url).hostname} cannot be reached ({failure[0]}). "
            f"{instead}"
        )


def checkpoint(url: str, what: str) -> Path:
    """A published checkpoint in torch.hub's cache, downloaded and checked against the hash in its name if need be.

    Raises:
        SourceError: it is not in the cache and cannot be downloaded.
    """
    import torch

    name = Path(urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.is_file():
        return path
    demand_network(url, what)
    path.parent.mkdir(parents=True, exist_ok=True)
    found = torch.hub.HASH_REGEX.search(name)
    try:
        with no_stall():
            torch.hub.download_url_to_file(url, str(path), found.group(1) if found else None, progress=False)
    except (OSError, RuntimeError) as error:
        raise SourceError(f"{what} could not be downloaded from {url}: {error}. {OWN_WEIGHTS}") from error
    return path


@contextmanager
def no_stall() -> Iterator[None]:
    """Within it, a socket that stays silent for `STALL_SECONDS` is an error."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
