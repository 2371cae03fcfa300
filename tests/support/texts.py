"""Strategies of texts by type, allowed ones and others, written from the specifications and not from our patterns."""

import string
import unicodedata
from collections.abc import Mapping

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

UNRESERVED, SUB_DELIMITERS = string.ascii_letters + string.digits + "-._~", "!$&'()*+,;="
TOKEN = string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~"
# Characters that no URI holds (RFC 3986 §2).
OUTSIDE_URI = ' "<>\\^`{|}\x00\x7f\nøé\u017f\u212a\u2028\U0001f600'
HEXADECIMAL = "0123456789abcdef"


def texts(characters: str, *, least: int = 0, most: int = 12) -> SearchStrategy[str]:
    """Texts of these characters."""
    return st.text(st.sampled_from(characters), min_size=least, max_size=most)


def joined(*parts: SearchStrategy[str] | str) -> SearchStrategy[str]:
    """One text of each part, in a row."""
    strategies = [st.just(part) if isinstance(part, str) else part for part in parts]
    return st.tuples(*strategies).map("".join)


def with_insertion(valid: SearchStrategy[str], characters: str) -> SearchStrategy[str]:
    """Texts with one of these characters somewhere."""
    return st.tuples(valid, st.integers(0, 200), st.sampled_from(characters)).map(
        lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]
    )


def is_forbidden(character: str) -> bool:
    """True for a control character, surrogate or noncharacter (CloudEvents 1.0.2, type system)."""
    code = ord(character)
    return unicodedata.category(character) in ("Cc", "Cs") or 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE


ESCAPES = st.sampled_from(["%20", "%C3%A6", "%41", "%3a"])
PATH_CHARACTERS = st.one_of(st.sampled_from(UNRESERVED + SUB_DELIMITERS + ":@"), ESCAPES)
SEGMENTS = (
    st.lists(PATH_CHARACTERS, min_size=1, max_size=8).map("".join).filter(lambda segment: segment not in (".", ".."))
)
QUERIES = st.one_of(st.just(""), joined("?", texts(UNRESERVED + SUB_DELIMITERS + ":@/?")))
FRAGMENTS = st.one_of(st.just(""), joined("#", texts(UNRESERVED + SUB_DELIMITERS + ":@/?")))
LABELS = texts(string.ascii_letters + string.digits + "-", least=1)
HOSTS = st.one_of(
    st.lists(LABELS, min_size=1, max_size=4).map(".".join),
    st.sampled_from(["192.0.2.1", "[::1]", "[2001:db8::5]", "[::ffff:192.0.2.1]"]),
)
PORTS = st.one_of(st.just(""), st.integers(0, 65_535).map(lambda port: f":{port}"))
PATHS = st.lists(SEGMENTS, max_size=5).map(lambda segments: "".join(f"/{each}" for each in segments))
SLASHES = st.sampled_from(["", "/"])

HTTPS_URLS = joined(st.sampled_from(["https://", "HTTPS://"]), HOSTS, PORTS, PATHS, SLASHES, QUERIES, FRAGMENTS)
OTHER_HTTPS_URLS = st.one_of(
    with_insertion(HTTPS_URLS, OUTSIDE_URI),
    joined(st.sampled_from(["http://", "http\u017f://", "ftp://", "", "//", "https:", "https:/"]), HOSTS, PATHS),
    joined("https://", LABELS, "@", HOSTS, PATHS),
    joined("https://", HOSTS, PATHS, st.sampled_from(["/..", "/.", "/../x", "/./x", "//x", "//"]), QUERIES),
    joined("https://", HOSTS, PATHS, "/x", st.sampled_from(["%2f", "%2F", "%5c", "%5C", "%2e", "%2E", "%00"]), PATHS),
    joined("https://", HOSTS, PATHS, "/", st.sampled_from(["%", "%4", "%zz", "%u0041"])),
    joined(
        "https://", st.sampled_from(["", "a..b", ".a", "a%2fb", "a%41b", "a'b", "a<b", 'a"b', "[::x]", "[::1", "a:b"])
    ),
    joined("https://", HOSTS, st.sampled_from([":65536", ":-1", ":8x", ":123456"]), PATHS),
)
SCHEMES = st.sampled_from(["urn", "mailto", "http", "tag", "a+b-c.9", "data"])
URIS = st.one_of(
    HTTPS_URLS,
    joined(SCHEMES, ":", SEGMENTS, PATHS, QUERIES, FRAGMENTS),
    joined("http://", LABELS, "@", HOSTS, PORTS, PATHS, QUERIES),
    st.sampled_from(["file:///etc/x", "urn:x:y", "http://h/a/../b", "a:", "http://h//x"]),
)
OTHER_URIS = st.one_of(
    with_insertion(URIS, OUTSIDE_URI),
    PATHS,
    joined(st.sampled_from(["", "1a:", "-:", "_:", ":", "ø:"]), PATHS),
    joined(URIS, "%", st.sampled_from(["", "4", "zz"])),
    joined("#a#", SEGMENTS),
)
URNS = joined(
    st.sampled_from(["urn:", "URN:"]),
    st.sampled_from(["altinn", "nsb", "a1", "ab-c9", "x" * 32]),
    ":",
    SEGMENTS,
    PATHS,
)
OTHER_URNS = st.one_of(
    with_insertion(URNS, OUTSIDE_URI),
    st.sampled_from(["", "urn", "urn:", "urn:a:b", "urn:-a:b", "urn:a-:b", "urn:ab:", "urn:ab:/x", "urn:ab", "u:ab:c"]),
    joined("urn:", "x" * 33, ":", SEGMENTS),
    joined("urn:ab:", texts(string.ascii_letters, least=1_000, most=1_010)),
    HTTPS_URLS,
)
TOKENS = texts(TOKEN, least=1)
QUOTED = st.lists(
    st.one_of(st.sampled_from(string.ascii_letters + " !#[]~()<>@,;:/?="), st.sampled_from(['\\"', "\\\\", "\\a"])),
    max_size=6,
).map(lambda parts: f'"{"".join(parts)}"')
MEDIA_TYPES = joined(
    TOKENS,
    "/",
    TOKENS,
    st.lists(joined(st.sampled_from([";", "; ", " ;", " ; "]), TOKENS, "=", st.one_of(TOKENS, QUOTED)), max_size=3).map(
        "".join
    ),
)
OTHER_MEDIA_TYPES = st.one_of(
    TOKENS,
    joined(
        TOKENS, "/", TOKENS, st.sampled_from([";", ";a", "; a=", ';a="', ';a="x"y', " x", "/x", ";a=b c", ",", "\n"])
    ),
    joined(TOKENS, "/", TOKENS, st.sampled_from("()<>@,:\\[]?={}\x00ø\n")),
    st.sampled_from(["", "/", "a/", "/b", "a /b", "a/ b"]),
)
TRACE_IDS = texts(HEXADECIMAL, least=32, most=32).filter(lambda digits: digits != "0" * 32)
SPAN_IDS = texts(HEXADECIMAL, least=16, most=16).filter(lambda digits: digits != "0" * 16)
FLAGS = texts(HEXADECIMAL, least=2, most=2)
VERSIONS = FLAGS.filter(lambda version: version not in ("00", "ff"))
TRACES = st.one_of(
    joined("00-", TRACE_IDS, "-", SPAN_IDS, "-", FLAGS),
    joined(VERSIONS, "-", TRACE_IDS, "-", SPAN_IDS, "-", FLAGS, st.sampled_from(["", "-", "-what.comes-next"])),
)
OTHER_TRACES = st.one_of(
    st.sampled_from(["", "x", "00", "-"]),
    joined("ff-", TRACE_IDS, "-", SPAN_IDS, "-", FLAGS),
    joined("00-", TRACE_IDS, "-", SPAN_IDS, "-", FLAGS, st.sampled_from(["-", "-x", " ", "0"])),
    joined("01-", TRACE_IDS, "-", SPAN_IDS, "-", FLAGS, st.sampled_from(["x", ".", " ", "0", "-\n", "-ø"])),
    joined("00-", "0" * 32, "-", SPAN_IDS, "-", FLAGS),
    joined("00-", TRACE_IDS, "-", "0" * 16, "-", FLAGS),
    joined("00-", TRACE_IDS.map(str.upper).filter(lambda text: text != text.lower()), "-", SPAN_IDS, "-01"),
    joined(TRACE_IDS, "-", SPAN_IDS, "-", FLAGS),
)
STRINGS = st.text(st.characters(exclude_categories=["Cc", "Cs"]).filter(lambda each: not is_forbidden(each)))
OTHER_STRINGS = st.tuples(
    STRINGS,
    st.one_of(
        st.sampled_from("\x00\x1b\x7f\x85\x9b\n\t\ufdd0\ufdef\ufffe\uffff\U0001fffe\U0010ffff\ud800"),
        st.integers(0, 16).flatmap(lambda plane: st.sampled_from([chr(plane * 0x10000 + 0xFFFE + n) for n in (0, 1)])),
    ),
    STRINGS,
).map("".join)
TIMES = st.one_of(
    st.datetimes().map(lambda time: f"{time.isoformat()}Z"),
    st.datetimes().map(lambda time: f"{time.isoformat().lower()}+14:00"),
    st.sampled_from(
        ["2016-12-31T23:59:60Z", "1990-12-31T15:59:60-08:00", "2015-07-01T05:29:60.5+05:30", "2016-02-29T23:59:60z"]
    ),
)
OTHER_TIMES = st.one_of(
    st.datetimes().map(lambda time: time.isoformat()),
    st.datetimes().map(lambda time: f"{time.date()}"),
    joined(TIMES, st.sampled_from(["x", " ", "\n", "Z"])),
    st.sampled_from(
        [
            *("", "yesterday", "2016-12-31T23:59:61Z", "2016-12-31T23:58:60Z", "2016-12-30T23:59:60Z"),
            *("2016-12-31T23:59:60+01:00", "2016-13-01T00:00:00Z", "2016-02-30T00:00:00Z", "2016-12-31T24:00:00Z"),
            *("9999-12-31T23:59:60Z", "2016-12-31 23:59:59Z", "2016-12-31T23:59:59,5Z", "\uff12016-12-31T23:59:59Z"),
        ]
    ),
)

# By the name in `domain.grammar`: allowed texts, and others.
BY_GRAMMAR: Mapping[str, tuple[SearchStrategy[str], SearchStrategy[str]]] = {
    "STRING": (STRINGS, OTHER_STRINGS),
    "URI": (URIS, OTHER_URIS),
    "HTTPS_URL": (HTTPS_URLS, OTHER_HTTPS_URLS),
    "URN": (URNS, OTHER_URNS),
    "MEDIA_TYPE": (MEDIA_TYPES, OTHER_MEDIA_TYPES),
    "TRACE": (TRACES, OTHER_TRACES),
    "TIMESTAMP": (TIMES, OTHER_TIMES),
}
