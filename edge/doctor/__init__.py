"""What is wrong with this machine, and its cure: the command ``fer-edge doctor``.

Every subject is a module with a pure half, from facts to findings, and a thin half that gathers the
facts. Nothing here imports NumPy, OpenCV, a runtime or picamera2: those are loaded in child
processes (:mod:`.child`), because one that is broken may raise anything, end its process or hang.
"""
