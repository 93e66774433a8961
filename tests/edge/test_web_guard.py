"""Who may look at the live page: addresses, names, tokens."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.edge.web.guard import Address, Guard, new_token, parse_address

TOKEN = "a token of the test"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("", "127.0.0.1", 8420),
        (":9000", "127.0.0.1", 9000),
        ("9000", "127.0.0.1", 9000),
        ("0.0.0.0", "0.0.0.0", 8420),
        ("pi.local:80", "pi.local", 80),
        ("[::1]:81", "::1", 81),
        ("[::]", "::", 8420),
        ("::1", "::1", 8420),
    ],
)
def test_an_address_is_read(text, host, port) -> None:
    assert parse_address(text) == Address(host, port)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_one_sentence(text) -> None:
    try:
        address = parse_address(text)
    except ValueError as exc:
        assert str(exc).startswith("expected")  # noqa: PT017 - both ends are good
    else:
        assert 0 <= address.port <= 65535


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("pi", False)],
)
def test_beyond_this_machine_a_token_is_made(host, loopback, monkeypatch) -> None:
    assert Address(host, 1).is_loopback is loopback


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost:8420", True),
        ("127.0.0.1:8420", True),
        ("[::1]:8420", True),
        ("192.168.1.7", True),
        (socket.gethostname(), True),
        (f"{socket.gethostname()}.local:8420", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("", False),
        (None, False),
    ],
)
def test_only_our_own_names_are_answered(host, known) -> None:
    assert Guard(Address("127.0.0.1", 8420), None).knows_host(host) is known


@pytest.mark.parametrize(
    ("headers", "query", "admitted"),
    [
        ({}, TOKEN, True),
        ({"authorization": f"Bearer {TOKEN}"}, None, True),
        ({"cookie": f'a=b; fer_edge_token="{TOKEN}"'}, None, True),
        ({}, None, False),
        ({}, "", False),
        ({}, TOKEN + "x", False),
        ({"authorization": f"Basic {TOKEN}"}, None, False),
        ({"cookie": "fer_edge_token=other"}, None, False),
        ({"cookie": ";;=;fer_edge_token"}, None, False),
    ],
)
def test_the_token_opens_and_nothing_else(headers, query, admitted) -> None:
    guard = Guard(Address("0.0.0.0", 8420), TOKEN)

    assert guard.admits(headers, query) is admitted
    assert Guard(Address("127.0.0.1", 8420), None).admits(headers, query)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_but_the_token_opens(cookie, query) -> None:
    guard = Guard(Address("0.0.0.0", 8420), TOKEN)

    assert not guard.admits({"cookie": cookie, "authorization": cookie}, query)


def test_tokens_are_long_and_different() -> None:
    assert len({new_token() for _ in range(50)}) == 50
    assert len(new_token()) >= 24
