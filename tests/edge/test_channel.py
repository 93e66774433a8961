"""The hand-off between threads: nothing is lost uncounted, nobody waits for ever."""

import threading
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fer_edge.edge.channel import Channel, ChannelClosed

from .conftest import HANG_S, wait_until


def counts(channel: Channel) -> tuple[int, int, int, int]:
    """Offered, taken, dropped, waiting."""
    return tuple(channel.counts().values())


def adds_up(channel: Channel) -> bool:
    offered, taken, dropped, waiting = counts(channel)
    return offered == taken + dropped + waiting


class ChannelMachine(RuleBasedStateMachine):
    """A newest-wins or lossless channel in one thread, beside a plain model of it."""

    def __init__(self):
        super().__init__()
        self.capacity, self.lossless = 3, False
        self.channel = Channel(capacity=self.capacity, lossless=self.lossless)
        self.model: deque[int] = deque()
        self.offered = self.taken = 0
        self.closed = False

    @precondition(lambda self: self.offered == 0)
    @rule(capacity=st.integers(1, 4), lossless=st.booleans())
    def start_another_kind(self, capacity, lossless):
        self.capacity, self.lossless = capacity, lossless
        self.channel = Channel(capacity=capacity, lossless=lossless)
        self.model.clear()
        self.closed = False

    # A lossless channel that is full would wait here for ever.
    @precondition(lambda self: not self.lossless or self.closed or len(self.model) < self.capacity)
    @rule()
    def put(self):
        item, self.offered = self.offered, self.offered + 1
        assert self.channel.put(item) is (not self.closed)
        if not self.closed:
            if len(self.model) == self.capacity:
                self.model.popleft()
            self.model.append(item)

    @precondition(lambda self: self.model)
    @rule()
    def get(self):
        self.taken += 1
        assert self.channel.get(timeout_s=0) == self.model.popleft()

    @precondition(lambda self: not self.model)
    @rule()
    def get_from_an_empty_one(self):
        with pytest.raises(ChannelClosed if self.closed else TimeoutError):
            self.channel.get(timeout_s=0)

    @rule(discard=st.booleans())
    def close(self, discard):
        self.channel.close(discard=discard)
        self.closed = True
        if discard:
            self.model.clear()

    @invariant()
    def agrees_with_the_model(self):
        waiting = len(self.model)
        dropped = self.offered - self.taken - waiting
        assert counts(self.channel) == (self.offered, self.taken, dropped, waiting)
        assert self.channel.closed is self.closed


ChannelMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestChannelAgainstItsModel = ChannelMachine.TestCase


@given(st.integers(1, 5), st.integers(0, 20))
def test_newest_wins_keeps_the_newest(capacity, count):
    channel = Channel(capacity=capacity, lossless=False)

    for item in range(count):
        assert channel.put(item)
    channel.close()

    assert list(channel) == list(range(count))[-capacity:]
    assert channel.counts()["dropped"] == max(0, count - capacity)


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(0, 300))
def test_lossless_keeps_all_in_order_between_threads(capacity, count):
    channel = Channel(capacity=capacity, lossless=True)

    def send() -> None:
        for item in range(count):
            channel.put(item)
        channel.close()

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    received = list(channel)
    sender.join(HANG_S)

    assert received == list(range(count))
    assert counts(channel) == (count, count, 0, 0)


@pytest.mark.parametrize("lossless", [True, False])
def test_the_counts_add_up_at_every_moment_between_threads(lossless):
    channel = Channel(capacity=2, lossless=lossless)
    wrong = []

    def watch() -> None:
        while not (channel.closed and channel.counts()["waiting"] == 0):
            found = counts(channel)
            if found[0] != sum(found[1:]):
                wrong[:] = [found]

    def send(first: int) -> None:
        for item in range(first, first + 500):
            channel.put(item)

    senders = [threading.Thread(target=send, args=(n,), daemon=True) for n in (0, 1000)]
    watcher = threading.Thread(target=watch, daemon=True)
    receiver = threading.Thread(target=lambda: list(channel), daemon=True)
    for thread in (watcher, receiver, *senders):
        thread.start()
    for thread in senders:
        thread.join(HANG_S)
    channel.close()
    receiver.join(HANG_S)
    watcher.join(HANG_S)

    assert adds_up(channel)
    assert channel.counts()["offered"] == 1000
    assert wrong == [], "the counts did not add up while a sender waited"


# Each case: whether what waits is discarded, what a receiver still gets, how many are dropped.
CLOSED = [(False, [1, 2], 0), (True, [], 2)]


@pytest.mark.parametrize(("discard", "left", "dropped"), CLOSED)
def test_what_waits_at_the_close_can_be_taken_or_is_counted(discard, left, dropped):
    channel = Channel(capacity=2, lossless=True)
    channel.put(1)
    channel.put(2)

    channel.close(discard=discard)

    assert list(channel) == left
    assert counts(channel) == (2, len(left), dropped, 0)
    with pytest.raises(ChannelClosed):
        channel.get()


def test_closing_twice_discards_what_the_first_left():
    channel = Channel(capacity=2, lossless=False)
    channel.put(1)

    channel.close()
    channel.close(discard=True)

    assert counts(channel) == (1, 0, 1, 0)


@pytest.mark.parametrize("lossless", [True, False])
def test_an_offer_after_the_close_is_refused_and_counted(lossless):
    channel = Channel(capacity=1, lossless=lossless)
    channel.put("in time")
    channel.close()

    assert channel.put("late") is False
    assert counts(channel) == (2, 0, 1, 1)
    assert channel.get() == "in time", "the late one must not push out the one in time"


@pytest.mark.parametrize("discard", [True, False])
def test_a_waiting_sender_is_woken_by_the_close(discard):
    channel = Channel(capacity=1, lossless=True)
    channel.put("first")
    answers = []
    sender = threading.Thread(target=lambda: answers.append(channel.put("second")), daemon=True)
    sender.start()
    sender.join(0.05)
    assert sender.is_alive(), "a full lossless channel makes its sender wait"

    channel.close(discard=discard)
    sender.join(HANG_S)

    assert answers == [False]
    assert counts(channel) == (2, 0, 2, 0) if discard else (2, 0, 1, 1)
    assert adds_up(channel)


def test_a_waiting_sender_goes_on_when_there_is_room():
    channel = Channel(capacity=1, lossless=True)
    channel.put("first")
    sender = threading.Thread(target=channel.put, args=("second",), daemon=True)
    sender.start()

    assert channel.get() == "first"
    sender.join(HANG_S)

    assert not sender.is_alive()
    assert channel.get(timeout_s=0) == "second"


def test_a_sender_that_waits_is_not_counted_before_it_is_let_in():
    channel = Channel(capacity=1, lossless=True)
    channel.put("first")
    sender = threading.Thread(target=channel.put, args=("second",), daemon=True)
    sender.start()
    sender.join(0.05)

    added_up = adds_up(channel)
    channel.close()
    sender.join(HANG_S)

    assert added_up, "offered == taken + dropped + waiting must hold at any moment"


@pytest.mark.parametrize("timeout_s", [None, HANG_S])
def test_a_waiting_receiver_is_woken_by_the_close(timeout_s):
    channel = Channel(capacity=1, lossless=True)
    heard = []

    def receive() -> None:
        try:
            channel.get(timeout_s=timeout_s)
        except ChannelClosed:
            heard.append("closed")

    receiver = threading.Thread(target=receive, daemon=True)
    receiver.start()
    receiver.join(0.05)
    channel.close()
    receiver.join(HANG_S)

    assert heard == ["closed"]


def test_a_waiting_receiver_is_woken_by_an_item():
    channel = Channel(capacity=1, lossless=False)
    received = []
    receiver = threading.Thread(target=lambda: received.append(channel.get()), daemon=True)
    receiver.start()

    channel.put("item")
    wait_until(lambda: received)

    assert received == ["item"]


@pytest.mark.parametrize("timeout_s", [0, 0.01, -1])
def test_nothing_in_time_is_a_time_out(timeout_s):
    channel = Channel(capacity=1, lossless=True)

    with pytest.raises(TimeoutError):
        channel.get(timeout_s=timeout_s)

    assert counts(channel) == (0, 0, 0, 0)


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_channel_that_holds_nothing_is_refused(capacity):
    with pytest.raises(ValueError, match=f"1 or more, got {capacity}"):
        Channel(capacity=capacity, lossless=True)
