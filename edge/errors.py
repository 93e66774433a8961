"""Every error that fer-edge raises on purpose, and the exit code that each one ends with.

::

    FerEdgeError            1   anything foreseeable without a code of its own
    ├── DataError           1   a data set or an image that cannot be used
    ├── SinkError           1   an output that cannot be opened or written
    ├── MissingExtraError   1   a feature whose pip extra is not installed
    ├── UsageError          2   arguments that contradict each other
    ├── CameraError         3   no camera, or one that stopped delivering
    │   └── CameraEndedError  3   … and that cannot be opened again
    ├── ModelError          4   a model that is missing, damaged or not what it says
    ├── GateError           5   a model that was made, measured and found not good enough
    └── StuckError          6   a stage of the loop that hangs again and again

Beside these: 0 is done (the end of a file, ``q``, SIGTERM and a closed pipe too), and 130 is
Ctrl-C. After 6 a supervisor starts the process anew. A message says what was expected, what came,
and what to do next.
"""

EXIT_OK = 0
EXIT_INTERRUPTED = 130


class FerEdgeError(Exception):
    """The base of all errors that a user can do something about."""

    exit_code = 1


class DataError(FerEdgeError):
    """A data set, an image or a row of one cannot be used as it is."""


class SinkError(FerEdgeError):
    """An output (file, window, pipe) cannot be opened or written."""


class MissingExtraError(FerEdgeError):
    """A feature was asked for whose optional packages are not installed."""


class UsageError(FerEdgeError):
    """The arguments are each valid but do not go together."""

    exit_code = 2


class CameraError(FerEdgeError):
    """A camera or a clip cannot be opened, or stopped delivering frames."""

    exit_code = 3


class CameraEndedError(CameraError):
    """A source ended for good: a clip, standard input. There is no use in trying again."""


class ModelError(FerEdgeError):
    """A model file is missing, damaged, without a contract, or not for this use."""

    exit_code = 4


class GateError(FerEdgeError):
    """A model was made and measured, and is not good enough to be kept."""

    exit_code = 5


class StuckError(FerEdgeError):
    """Stages of the loop hung in native code too often; only a new process can help."""

    exit_code = 6
