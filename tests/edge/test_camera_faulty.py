"""The camera that fails on purpose does so where its script says, and nowhere else."""

import threading

import numpy as np
import pytest

from fer_edge.edge.cameras import open_camera
from fer_edge.edge.cameras.faulty import Fault, FaultyCamera, random_faults
from fer_edge.edge.errors import CameraError

from .conftest import HANG_S


def faulty(faults, **changes) -> FaultyCamera:
    return FaultyCamera(open_camera("demo", size_wh=(96, 64), lossless=True, **changes), faults)


def test_without_a_fault_it_is_the_camera():
    camera, plain = faulty({}), open_camera("demo", size_wh=(96, 64), lossless=True)

    for index in range(5):
        frame = camera.read()
        assert frame.index == index
        assert np.array_equal(frame.image, plain.read().image)
    assert (camera.name, camera.lossless, camera.fps) == ("demo", True, 30)


def test_a_disconnect_lasts_until_a_renewal_that_succeeds():
    camera = faulty({2: Fault("disconnect", failures=2), 3: Fault("disconnect")})
    camera.read()
    camera.read()

    for _ in range(3):
        with pytest.raises(CameraError, match="demo was disconnected"):
            camera.read()
    for _ in range(2):
        with pytest.raises(CameraError, match="still disconnected"):
            camera.renew()
    second = camera.renew()
    with pytest.raises(CameraError, match="was disconnected"):
        second.read()
    third = second.renew()
    assert third.read().index == 0, "a renewed camera counts from 0"


@pytest.mark.parametrize("fault", [Fault("hang"), Fault("hang", seconds=0.01)])
def test_a_hang_ends_by_its_time_or_by_release_and_not_by_closing(fault):
    camera, frames = faulty({0: fault}), []
    thread = threading.Thread(target=lambda: frames.append(camera.read()))
    thread.start()
    camera.close()
    if fault.seconds > 1:
        thread.join(0.05)
        assert thread.is_alive()
        assert camera.renew().read() is not None, "another one does not hang with it"
        camera.release()
    thread.join(HANG_S)

    assert len(frames) == 1


def test_a_truncated_picture_is_grey_below():
    camera = faulty({1: Fault("truncated")})
    whole, cut, after = (camera.read().image for _ in range(3))

    assert np.array_equal(cut[:32], whole[:32])
    assert (cut[32:] == 128).all()
    assert np.array_equal(after, whole), "the camera's own pictures are not touched"


def test_a_picture_of_another_size():
    camera = faulty({1: Fault("size", size_wh=(40, 20))}, colour=False)

    assert [camera.read().size_wh for _ in range(3)] == [(96, 64), (40, 20), (96, 64)]


def test_a_burst_is_the_same_picture_several_times():
    camera = faulty({1: Fault("burst", count=3), 2: Fault("size", size_wh=(40, 20))})
    frames = [camera.read() for _ in range(5)]

    assert [frame.index for frame in frames] == list(range(5))
    assert frames[1].captured_ns == frames[2].captured_ns == frames[3].captured_ns
    assert frames[4].size_wh == (40, 20), "copies are no places in the script"


def test_the_clock_jumps_and_stays_wrong():
    camera = faulty({1: Fault("clock", seconds=-3600), 3: Fault("clock", seconds=7200)})
    frames = [camera.read() for _ in range(4)]
    # How far the wall clock is ahead of the steady one.
    offsets = [frame.captured_unix_s - frame.captured_ns / 1e9 for frame in frames]

    assert np.subtract(offsets, offsets[0]) == pytest.approx([0, -3600, -3600, 3600], abs=1)


def test_faults_by_chance_are_the_same_for_a_seed():
    kinds = [Fault("truncated"), Fault("burst")]
    one, again, other = (random_faults(seed, 0.3, kinds) for seed in (1, 1, 2))

    drawn = [one(index) for index in range(1000)]
    assert drawn == [again(index) for index in range(1000)]
    assert drawn != [other(index) for index in range(1000)]
    assert 250 <= sum(fault is not None for fault in drawn) <= 350
    assert set(drawn) == {None, *kinds}
    assert faulty(one).read() is not None


def test_a_fault_of_no_kind_is_refused():
    with pytest.raises(ValueError, match="one of disconnect, hang"):
        Fault("explode")
