"""Where a file may be longer than it needs to be and still be read: in the place that its format leaves for that."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from harness.artifacts.safetensors_file import WORD, header
from harness.errors import Unmeasurable

# A block of DEFLATE that holds nothing, and is not the last one (RFC 1951, 3.2.4).
EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"
# Of a longer header the library that reads safetensors refuses the file.
MOST_HEADER = 100_000_000


def lengthen(path: Path, extra: int) -> None:
    """Make a file at least `extra` bytes longer, by a few more where its format asks for it.

    Args:
        path: an archive, a packed or a safetensors file; any other file is longer behind its end.
        extra: bytes.
    """
    if path.suffix in _LONGER:
        path.write_bytes(_LONGER[path.suffix](path.read_bytes(), extra))
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path, "a") as archive:
            root = archive.namelist()[0].partition("/")[0]
            archive.writestr(zipfile.ZipInfo(f"{root}/extra/padding"), bytes(extra))
    else:
        with path.open("ab") as stream:
            stream.write(bytes(extra))


def longer_packed(content: bytes, extra: int) -> bytes:
    """A packed file whose graph begins with empty blocks of DEFLATE, under a checksum of its own."""
    from harness.artifacts.packed_bytes import Cursor, number
    from harness.artifacts.packed_file import CHECKSUM, MAGIC

    cursor = Cursor(content)
    # The magic number and the version.
    opening = cursor.take(len(MAGIC) + 1)
    text = EMPTY_BLOCK * math.ceil(extra / len(EMPTY_BLOCK)) + cursor.take(cursor.number())
    cursor.take(CHECKSUM)
    head = opening + number(len(text)) + text
    return head + zlib.crc32(head).to_bytes(CHECKSUM, "little") + content[cursor.at :]


def longer_safetensors(content: bytes, extra: int) -> bytes:
    """A safetensors file whose header ends with blanks, by whole words of eight bytes."""
    end, _ = header(content)
    blanks = b" " * (math.ceil(extra / WORD) * WORD)
    if end - WORD + len(blanks) > MOST_HEADER:
        raise Unmeasurable("a header of more than 100 MB would be refused whatever the budgets are: it is not padded")
    return (end - WORD + len(blanks)).to_bytes(WORD, "little") + content[WORD:end] + blanks + content[end:]


# How a file of a format is made longer that refuses bytes behind its end.
_LONGER: dict[str, Callable[[bytes, int], bytes]] = {".packed": longer_packed, ".safetensors": longer_safetensors}
