"""What the ten taggers of FER+ say of an image, as one answer. NumPy only.

Barsoum et al., "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label
Distribution", ICMI 2016 (arXiv:1608.01041).
"""

import numpy as np
from numpy.typing import NDArray

from .dataset_readers import EMOTIONS, FERPLUS_EMOTIONS

#: The ten answers in the order of ``fer2013new.csv``, the seven of FER-2013 by the names used here.
VOTE_NAMES = (
    *(EMOTIONS[index] for index in FERPLUS_EMOTIONS),
    "contempt",
    "unknown",
    "not a face",
)
NOT_A_FACE = VOTE_NAMES.index("not a face")
#: Instead of an answer: two or more share the most votes; there are no votes.
TIE, UNVOTED = len(VOTE_NAMES), len(VOTE_NAMES) + 1
#: All that :func:`vote_answers` can say.
ANSWER_NAMES = (*VOTE_NAMES, "tie", "no votes")
#: The emotion of each of these, index into :data:`EMOTIONS`; -1 where it is none of the seven.
ANSWER_EMOTIONS = np.array([*FERPLUS_EMOTIONS, *[-1] * (len(ANSWER_NAMES) - len(FERPLUS_EMOTIONS))])


def vote_answers(votes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The answer with most votes of each image; more than half of them is not asked for.

    Args:
        votes: int64, ``(n, 10)``, in the order of :data:`VOTE_NAMES`.

    Returns:
        int64, ``(n,)``: index into :data:`ANSWER_NAMES`.
    """
    most = votes.max(axis=1, keepdims=True)
    answers = np.where((votes == most).sum(axis=1) > 1, TIE, votes.argmax(axis=1))
    return np.where(most[:, 0] == 0, UNVOTED, answers)
