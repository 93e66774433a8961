"""What others report for FER-2013, to compare runs with: figures, their split, their source.

Accuracies are those of DESIGN.md, "Numbers to be ahead of". A cost stands here only where it could
be counted from the published code of the network, in multiply-adds of the convolutions and dense
layers for one view of one face; nothing is estimated.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """One published accuracy.

    Attributes:
        name: Whose it is, short enough for a plot.
        accuracy: 0 to 1; of a range its upper end.
        lowest: The lower end of a range, 0 to 1, or None for one figure.
        split: What it was measured on: a split by the name that our data has, or their own words.
        parameters: Of the network, or None where that is not known.
        multiply_adds: For one view of one face, or None where that is not known.
        views: How many views of each image were averaged.
        source: Who measured or said so.
        note: How the cost was counted, and what makes the figure unlike ours.
    """

    name: str
    accuracy: float
    split: str
    source: str
    lowest: float | None = None
    parameters: int | None = None
    multiply_adds: int | None = None
    views: int = 1
    note: str = ""

    def comparable(self, split: str) -> bool:
        """Whether it was measured on the same split, with one view of each image."""
        return self.split == split and self.views == 1


PUBLISHED = (
    Published(
        name="fer 25.10.3",
        accuracy=0.655,
        split="PrivateTest",
        source="the package's TFLite model, measured for this project",
        parameters=58_423,
        multiply_adds=10_163_392,
        note="Cost counted for mini_XCEPTION at 64x64 as in oarriaga/face_classification, from "
        "which the package says it derives; input size and file size of its model agree.",
    ),
    Published(
        name="notebooks",
        accuracy=0.66,
        lowest=0.555,
        split="validation, or all 7,178 test images",
        source="notebooks on Kaggle and GitHub",
        note="Custom CNNs, VGG16, ResNet50 and ResNet50v2: a range, with as many costs.",
    ),
    Published(
        name="deepface",
        accuracy=0.574,
        split="test",
        source="as that project reports",
        parameters=1_485_831,
        multiply_adds=28_835_840,
        note="Cost counted from its network in serengil/deepface, Emotion.py, at 48x48.",
    ),
    Published(
        name="Pi 5 + Hailo",
        accuracy=0.617,
        split="all 7,178 test images",
        source="as that project reports",
        note="int8, on the device.",
    ),
    Published(
        name="Pi 4, mini-Xception",
        accuracy=0.645,
        split="unstated",
        source="as that project reports",
        note="Haar detector; neither input size nor weights are stated.",
    ),
    Published(
        name="ResMaskNet, 10 views",
        accuracy=0.741,
        split="PrivateTest",
        source="Pham, Vu and Tran (2020)",
        parameters=137_796_423,
        multiply_adds=21_903_232_512,
        views=10,
        note="Cost of one view at 224x224, counted from resmasking.py and masking.py in "
        "phamquiluan/ResidualMaskingNetwork; the accuracy averages ten.",
    ),
    Published(
        name="ResMaskNet ensemble",
        accuracy=0.768,
        split="PrivateTest",
        source="Pham, Vu and Tran (2020)",
        views=10,
        note="Seven networks, ten views averaged.",
    ),
)
