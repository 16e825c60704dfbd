"""The digest of a detector changes with weights, constants and version, and with nothing else."""

from __future__ import annotations

from collections import Counter

import pytest

from deepfakestream.faces import mtcnn, retinaface, working_size
from deepfakestream.faces.weights_file import detector_digest

FACTS = {"version": 1, "looks_px": (640, 224), "sure_score": 0.8}
NOT_IN_THE_DIGEST = {
    "BATCH_PIXELS",
    "STRIDE_PX",  # follows from the weights, as the next one
    "CELL_PX",
}


@pytest.mark.parametrize(
    ("weights", "facts"),
    [("b", FACTS), ("a", FACTS | {"version": 2}), ("a", FACTS | {"looks_px": (640, 225)}), ("a", {})],
    ids=["weights", "version", "a constant", "a fact less"],
)
def test_whatever_decides_changes_it(weights, facts):
    assert detector_digest(weights, facts) != detector_digest("a", FACTS)


def test_order_of_facts_does_not():
    assert detector_digest("a", dict(reversed(FACTS.items()))) == detector_digest("a", FACTS)


@pytest.mark.parametrize(
    ("modules", "algorithm"),
    [
        ((retinaface, working_size), retinaface.ALGORITHM),
        ((mtcnn, working_size), mtcnn.ALGORITHM),
    ],
    ids=["retinaface", "mtcnn"],
)
def test_every_constant_is_a_fact(modules, algorithm):
    """A number added to the code and forgotten here would leave stale faces in the store.

    Equal numbers count: one fact does not stand for two constants.
    """
    known = flattened(value for name, value in algorithm.items() if name != "version")
    constants = {each for module in modules for each in constants_of(module)}
    missing = flattened(value for _, value in constants) - known
    assert not missing, sorted(name for name, value in constants if flattened([value]) & missing)


def constants_of(module):
    """Return names and values; a name that several modules share is one constant."""
    for name, value in vars(module).items():
        is_number = isinstance(value, int | float | tuple) and not isinstance(value, bool)
        if name.isupper() and is_number and name not in NOT_IN_THE_DIGEST and flattened([value]):
            yield name, value


def flattened(values):
    found = Counter()
    for value in values:
        found += flattened(value) if isinstance(value, tuple) else numbers(value)
    return found


def numbers(value):
    return Counter([value] if isinstance(value, int | float) else [])
