"""The exit codes are part of the command line's interface: scripts and systemd units read them."""

import re

import pytest

from fer_edge.edge import errors

CODES = [
    ("FerEdgeError", 1),
    ("DataError", 1),
    ("SinkError", 1),
    ("MissingExtraError", 1),
    ("UsageError", 2),
    ("CameraError", 3),
    ("CameraEndedError", 3),
    ("ModelError", 4),
    ("GateError", 5),
    ("StuckError", 6),
]


@pytest.mark.parametrize(("name", "code"), CODES)
def test_each_error_ends_with_its_documented_code(name, code):
    assert getattr(errors, name).exit_code == code


@pytest.mark.parametrize("name", [name for name, _ in CODES])
def test_each_error_can_be_caught_as_the_base(name):
    with pytest.raises(errors.FerEdgeError, match=r"^why$"):
        raise getattr(errors, name)("why")


def test_the_tree_in_the_text_is_the_tree_in_the_code():
    drawn = re.findall(r"^ +(?:│ +)?(?:[├└]── )?(\w+Error) +(\d)", errors.__doc__, re.MULTILINE)
    classes = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}

    assert [(name, int(code)) for name, code in drawn] == CODES
    assert set(classes) == {name for name, _ in CODES}, "an error that the tree does not show"


def test_success_and_ctrl_c_have_the_shell_s_codes():
    assert (errors.EXIT_OK, errors.EXIT_INTERRUPTED) == (0, 130)
