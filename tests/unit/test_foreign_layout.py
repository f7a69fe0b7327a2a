"""Where the bands of a model's image are, told from its shape alone, from the data set, or asked for."""

from types import SimpleNamespace

import pytest

from harness.core.errors import ConfigError
from harness.support.foreign import Wishes, _layout, _read, foreign
from harness.support.layout import LAYOUT
from tests.foreign_models import helper, info, write


def layout_of(folder, shape, bands=None):
    path = write(folder / "m.onnx", [helper.make_node("Relu", ["image"], ["y"])], [info("image", shape)], [info("y", shape)], {})
    data = SimpleNamespace(bands=tuple(range(bands))) if bands else None
    return _layout(_read(path), Wishes({}, data=data), path)  # a whole data set is not needed for this


CASES = {
    (1, 3, 224, 224): "NCHW",
    (1, 224, 224, 3): "NHWC",
    (1, 224, 64, 64): "NCHW",  # hyperspectral
    (1, 64, 64, 224): "NHWC",
    (1, 13, 480, 640): "NCHW",
    (1, 480, 640, 13): "NHWC",
    (1, 48, 480, 640): "NCHW",  # nobody has 640 bands
    ("n", 4, "h", "w"): "NCHW",
    ("n", "h", "w", 4): "NHWC",
    ("n", "s", "s", 4): "NHWC",
    ("n", "c", "h", "w"): "NCHW",
    (1, 224, "h", "w"): "NCHW",
}


@pytest.mark.parametrize("shape", CASES, ids=str)
def test_bands_are_where_the_shape_says(tmp_path, shape):
    assert layout_of(tmp_path, shape) == CASES[shape]


@pytest.mark.parametrize("shape", [(1, 224, 64, 128), (1, 64, 64, 64), (1, 20, 40, 30)], ids=str)
def test_a_shape_that_reads_either_way_is_asked_about(tmp_path, shape):
    with pytest.raises(ConfigError, match="bands may come first or last") as caught:
        layout_of(tmp_path, shape)
    assert "--layout" in caught.value.hint


def test_the_data_sets_bands_settle_it(tmp_path):
    assert layout_of(tmp_path, (1, 224, 64, 128), bands=224) == "NCHW"
    assert layout_of(tmp_path, (1, 128, 64, 224), bands=224) == "NHWC"


def test_minus_one_is_an_open_side(tmp_path):
    path = write(tmp_path / "m.onnx", [helper.make_node("Relu", ["image"], ["y"])], [info("image", (-1, 3, 8, 8))], [info("y", (-1, 3, 8, 8))], {})
    found = foreign(path, Wishes({}))
    assert found.artifact.inputs[0].shape == ("batch", 3, 8, 8)
    assert found.artifact.options[LAYOUT] == "NCHW"
