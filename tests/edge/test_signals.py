"""What a signal does before and after the loop runs; processes are in tests/test_cli_ends.py."""

import signal

import pytest

from fer_edge.edge.signals import Stopped, Stopper, stopping_on_signals


def test_before_the_loop_a_signal_is_an_exception():
    stopper = Stopper()

    with stopping_on_signals(stopper.stop) as heard, pytest.raises(Stopped):
        signal.raise_signal(signal.SIGINT)
    assert heard.exit_code == 130


def test_in_the_loop_it_is_a_call():
    stopper, calls = Stopper(), []
    stopper.hand_over(lambda: calls.append("stop"))

    assert calls == []
    stopper.stop()
    assert calls == ["stop"]


def test_an_exception_that_got_lost_is_made_up_for():
    """As in a callback of a weak reference, where Python drops whatever is raised."""
    stopper, calls = Stopper(), []
    with pytest.raises(Stopped):
        stopper.stop()

    stopper.hand_over(lambda: calls.append("stop"))

    assert calls == ["stop"]


def test_what_an_import_makes_of_the_exception_is_no_error():
    """As pybind11 does: "initialization failed"."""
    stopper = Stopper()

    with stopper.ending_quietly():
        try:
            stopper.stop()
        except Stopped as exc:
            raise ImportError("initialization failed") from exc


def test_an_error_without_a_signal_stays_one():
    with pytest.raises(ImportError), Stopper().ending_quietly():
        raise ImportError("initialization failed")


def test_an_error_of_the_loop_stays_one_after_a_signal():
    stopper = Stopper()
    stopper.hand_over(lambda: None)
    stopper.stop()

    with pytest.raises(OSError), stopper.ending_quietly():
        raise OSError("No space left on device")
