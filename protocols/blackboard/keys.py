"""Names of entries, and what they may hold.

A key is text in two parts or more, ``space/name``; without a slash it is one of the
space ``default``. Bounds are in bytes, because that is what others have to carry.
"""

from protocols.errors import Refused

KEY_BYTES_LIMIT = 256
FIELD_BYTES_LIMIT = 1024
"""Of a map's field, or of a set's element as it is encoded."""
VALUE_BYTES_LIMIT = 48 * 1024
EMBEDDING_BYTES_LIMIT = 16 * 1024
"""4,096 dimensions of float32."""
DEFAULT_SPACE = "default"

REGISTER, MULTIVALUE, COUNTER, SET, MAP, LOG, PHEROMONE = (
    "register", "multivalue", "counter", "set", "map", "log", "pheromone",
)  # fmt: skip
TYPES = (REGISTER, MULTIVALUE, COUNTER, SET, MAP, LOG, PHEROMONE)


def is_key(text: str) -> bool:
    """Whether it names an entry: ``space/name``, printable, not too long."""
    length = len(text)
    return (
        0 < text.find("/") < length - 1
        and length <= KEY_BYTES_LIMIT
        and text.isprintable()
        and (text.isascii() or len(text.encode(errors="surrogatepass")) <= KEY_BYTES_LIMIT)
    )


def full_key(text: str) -> str:
    """A key as people write it, in full.

    Raises:
        Refused: it is none.
    """
    key = text if "/" in text else f"{DEFAULT_SPACE}/{text}"
    if is_key(key):
        return key
    raise Refused(
        "BadKey",
        f"{text[:80]!r} is no key: it takes printable text of at most {KEY_BYTES_LIMIT} bytes, "
        "with a name before and after each first slash, such as default/findings/1",
    )
