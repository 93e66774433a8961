"""The model card in short, as a contract carries it: text only."""

from typing import Any

_LAW = (
    "In the European Union reading emotions of people at work and in education is prohibited (AI "
    "Act, Art. 5(1)(f)), and elsewhere they have to be told (Art. 50(3)). Not legal advice."
)
_UNFIT = (
    "any decision about a person: hiring, teaching, policing, diagnosis, lie detection, the "
    "driver's seat"
)


def classifier_card(*, parameters: int, multiply_adds: int) -> dict[str, Any]:
    """Of a classifier that was trained on FER-2013.

    Args:
        parameters: Of the network.
        multiply_adds: Of one face.
    """
    limits = [
        "It names what labellers saw in web photographs, not what somebody feels; two of three "
        "majorities of ten other taggers agree with them.",
        "For whom it is worse nobody knows: FER-2013 has no ages, sexes, origins or places.",
        "A face at rest is easily taken for a sad or an angry one.",
        "Half-covered, turned-away and masked faces were not measured.",
    ]
    use = "names what a cropped face shows, in one of seven words"
    return _card(use, limits, parameters, multiply_adds)


def detector_card(*, parameters: int, multiply_adds: int) -> dict[str, Any]:
    """Of a face detector of ours.

    Args:
        parameters: Of the network.
        multiply_adds: Of one picture.
    """
    limits = [
        "Faces of few pixels, in the picture as it is shrunk, are missed.",
        "What looks like a face, such as a print on a shirt, may be taken for one.",
        "Whom it finds less often nobody knows: the data names no ages, sexes or origins.",
    ]
    use = "finds faces in a picture, a box and a score each; it recognises nobody"
    return _card(use, limits, parameters, multiply_adds)


def _card(use: str, limits: list[str], parameters: int, multiply_adds: int) -> dict[str, Any]:
    return {
        "use": use,
        "limits": limits,
        "unfit_for": _UNFIT,
        "law": _LAW,
        "parameters": parameters,
        "multiply_adds": multiply_adds,
    }
