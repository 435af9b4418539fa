"""The spec language: what parses to what, where the caret points, and the round trip."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_fl.api.spec import Call, format_chain, format_value, parse_chain, parse_chains
from robustbench_fl.core.errors import UsageError

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_:.]{0,10}", fullmatch=True)
KEYS = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=12)
TRICKY = st.sampled_from(
    ["true", "none", "False", "1", "-1e-3", "inf", "nan", "", "'", '"', "'\"", "a b", "ü", "\n"]
)
VALUES = st.recursive(LEAVES | TRICKY, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
CALLS = st.builds(Call, NAMES, st.dictionaries(KEYS, VALUES, max_size=3))
CHAINS = st.lists(CALLS, min_size=1, max_size=3).map(tuple)


def value_of(text):
    return parse_chain(f"f(x={text})")[0].params["x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 3),
        ("-3", -3),
        ("+3", 3),
        ("0.10", 0.1),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e-3", 0.001),
        ("-2.5E+2", -250.0),
        ("true", True),
        ("false", False),
        ("none", None),
        ("True", "True"),
        ("inf", "inf"),
        ("-inf", "-inf"),
        ("nan", "nan"),
        ("n-f-2", "n-f-2"),
        ("2x", "2x"),
        ("1e", "1e"),
        ("./data/a-b.pt", "./data/a-b.pt"),
        ("'a, b > c'", "a, b > c"),
        ('"3"', "3"),
        ("'true'", "true"),
        ("''", ""),
        ("'it''s'", "it's"),
        ('"größe"', "größe"),
        ("[]", []),
        ("[64, 32]", [64, 32]),
        ("[[1], [], ['a,b']]", [[1], [], ["a,b"]]),
        ("  [ 1 ,2 ]  ", [1, 2]),
    ],
)
def test_values(text, expected):
    found = value_of(text)
    assert found == expected
    assert type(found) is type(expected)


def test_chain_and_whitespace():
    chain = parse_chain(" bucketing( s = 2 )>nnm  > trimmed_mean(trim=0.1) ")
    assert chain == (Call("bucketing", {"s": 2}), Call("nnm"), Call("trimmed_mean", {"trim": 0.1}))
    assert format_chain(chain) == "bucketing(s=2) > nnm > trimmed_mean(trim=0.1)"
    assert format_chain(parse_chain("krum()")) == "krum"


def test_commas_separate_at_depth_zero_only():
    texts = [format_chain(c) for c in parse_chains("mean, a(x=[1, 2], y='p,q'), b > c, d(z=')')")]
    assert texts == ["mean", 'a(x=[1, 2], y="p,q")', "b > c", 'd(z=")")']


@given(CHAINS)
@settings(max_examples=200, deadline=None)
def test_round_trip(chain):
    assert parse_chain(format_chain(chain)) == chain


@given(st.lists(CHAINS, min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_round_trip_of_lists(chains):
    assert parse_chains(", ".join(map(format_chain, chains))) == chains


@given(st.text(max_size=40) | st.text(alphabet="ab(),=>[]'\"1. ", max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_parses_or_is_refused_with_one_caret(text):
    try:
        parse_chains(text)
    except UsageError as error:
        message, _, caret = str(error).split("\n")
        assert message.startswith("Malformed method: ")
        assert caret.strip() == "^"


def test_strings_that_look_like_other_values_keep_their_quotes():
    for word in ("true", "none", "3", "1e-3", "-.5"):
        assert format_value(word) == f'"{word}"'
    assert format_value("n-f-2") == "n-f-2"
    assert format_value("both ' and \"") == "'both '' and \"'"


def test_numbers_are_written_shortly():
    assert [format_value(v) for v in (0.1, 1.0, -2.0, 1e-6, 1e16)] == ["0.1", "1", "-2", "1e-06", "1e+16"]


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("", "expected a method's name", 0),
        ("   ", "expected a method's name", 3),
        ("mean,", "expected a method's name", 5),
        ("mean median", "expected nothing more", 5),
        ("nnm > ", "expected a method's name", 6),
        ("> krum", "expected a method's name", 0),
        ("krum(k)", "expected '=' and a value", 6),
        ("krum(k=)", "expected a value", 7),
        ("krum(k=3", "expected ',' or ')'", 8),
        ("krum(k=3,)", "expected a parameter's name", 9),
        ("krum(k=3 j=4)", "expected ',' or ')'", 9),
        ("f(x=[1, ])", "expected a value", 8),
        ("f(x=[1 2])", "expected ',' or ']'", 7),
        ("f(x=1, x=2)", "parameter 'x' is given twice", 7),
        ("mean, 3d", "'3d' is not a method's name", 6),
        ("a-b", "'a-b' is not a method's name", 0),
        ("f(x='open)", "expected a value", 4),
        ("f(x=1)!", "expected nothing more", 6),
        ("médian", "expected nothing more", 1),
        ("f(x=1e999)", "the number is larger than 1.798e+308", 4),
    ],
)
def test_malformed(text, message, column):
    with pytest.raises(UsageError) as caught:
        parse_chains(text, "sweep.toml, aggregator")
    first, shown, caret = str(caught.value).split("\n")
    assert first == f"Malformed method in sweep.toml, aggregator: {message}."
    assert shown == f"  {text}"
    assert caret == " " * (2 + column) + "^"


def test_only_aggregator_chains_not_lists_where_one_is_wanted():
    with pytest.raises(UsageError, match="expected nothing more"):
        parse_chain("mean, median")


def test_caret_of_a_long_text_shows_its_neighbourhood_only():
    text = "a, " * 1000 + "3, " + "b, " * 1000 + "b"
    with pytest.raises(UsageError) as caught:
        parse_chains(text)
    _, shown, caret = str(caught.value).split("\n")
    assert len(shown) < 200
    assert shown[len(caret) - 1] == "3"
    assert shown.strip().startswith("…")
    assert shown.endswith("…")


def test_tabs_and_newlines_do_not_move_the_caret():
    with pytest.raises(UsageError) as caught:
        parse_chains("mean,\n\t3")
    _, shown, caret = str(caught.value).split("\n")
    assert shown[len(caret) - 1] == "3"


@pytest.mark.parametrize("text", ["f(x=" + "[" * 10_000, "f(x=" + "[" * 10_000 + "]" * 10_000 + ")"])
def test_deep_lists_are_refused_not_followed(text):
    with pytest.raises(UsageError, match="lists are nested more than 20 deep"):
        parse_chain(text)


def test_time_is_linear_in_the_length():
    text = ",".join(f"method_{i}(alpha={i}, beta=[1, 2, 'x'])" for i in range(20_000))
    started = time.perf_counter()
    assert len(parse_chains(text)) == 20_000
    # A quadratic parser copies 20,000 tails of a megabyte: minutes.
    assert time.perf_counter() - started < 5


def test_a_long_number_is_refused_or_whole():
    assert value_of("9" * 300) == int("9" * 300)
    with pytest.raises(UsageError, match="larger than"):
        value_of("9" * 5000)
