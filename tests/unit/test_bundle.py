"""Bundles as hostile input, what is stored exactly, and bytes that repeat. The bundles here are made by hand (see bundle_parts)."""

import json
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from harness.bundling import unpack as unpacking
from harness.bundling.archive import write_archive
from harness.bundling.opened import opened
from harness.bundling.tiles import chosen_tiles
from harness.cli.main import run
from harness.core.errors import BundleError, ConfigError, DataError, HarnessError, MeasurementError
from harness.profiling.run import work_folder
from harness.support.bundled import bundled_spec, facts_of, narrowed, part_key
from harness.support.onnx_wire import external_locations, read_wire
from tests import bundle_parts as parts
from tests.bundle_parts import ARTIFACT, MODEL, manifest, npy, pack


@pytest.fixture
def files(tmp_path) -> dict[str, bytes]:
    return parts.members(tmp_path)


@pytest.fixture
def scratch(tmp_path, monkeypatch) -> Path:
    """Where bundles are unpacked."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def refusal(bundle: Path) -> str:
    with pytest.raises(HarnessError) as caught, opened(bundle):
        pass
    assert caught.value.hint
    return caught.value.message


def test_a_good_bundle_opens_as_a_data_set_and_its_folder_goes_away(files, tmp_path, scratch):
    bundle = pack(tmp_path / "b.zip", files)
    with opened(bundle) as folder:
        assert folder.parent == scratch.resolve()
        spec = bundled_spec(folder / "data")
        source = spec.open(folder / "data", "test")
        assert (spec.name, spec.classes, len(source)) == ("synthetic", parts.CLASSES, parts.TILES)
        for number in range(parts.TILES):
            image, mask = parts.tile(number)
            tile = source[number]
            assert tile.image.dtype == np.float32
            assert tile.mask.dtype == np.int64
            assert (tile.image == image).all()
            assert (tile.mask == mask).all()
            assert tile.region == f"r{number}"
            assert (spec.baselines["majority"](tile.image) == 0).all()
        with pytest.raises(DataError, match="own tiles"):
            spec.baselines["majority"](tile.image + 1)
        with pytest.raises(ConfigError, match="tiles of test, the profile scores on val"):
            spec.open(folder / "data", "val")
        assert facts_of(folder / "data") | {"sha256": ""} == {"file": "b.zip", "sha256": "", "split": "test", "tiles": 3, "tiles_in_split": 12}
    assert not list(scratch.iterdir())


NAMES = {
    "/etc/passwd": "absolute",
    "\\windows\\x": "absolute",
    "C:x.npy": "absolute",
    "../x.npy": "leads out",
    "data/../../x.npy": "leads out",
    "data\\..\\x.npy": "leads out",
    "data/": "no plain file",
    "data/a b.npy": "a name is",
    "data//x.npy": "a name is",
    "./x.npy": "a name is",
    "data/.hidden": "a name is",
    "data/\u202etxt.npy": "a name is",
    "data/IMAGES/0.npy": "one file on some systems",
}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_that_is_no_plain_relative_path_is_refused(name, files, tmp_path, scratch):
    files[name] = b"x"
    assert NAMES[name] in refusal(pack(tmp_path / "b.zip", files))
    assert not list(scratch.iterdir())


@pytest.mark.parametrize(("kind", "said"), [(stat.S_IFLNK, "a link"), (stat.S_IFIFO, "no plain file"), (stat.S_IFDIR, "no plain file")])
def test_what_is_no_plain_file_is_refused(kind, said, files, tmp_path):
    bundle = pack(tmp_path / "b.zip", files)
    entry = zipfile.ZipInfo("data/x.npy")
    entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr(entry, "/etc/passwd")
    assert said in refusal(bundle)


def test_a_name_that_appears_twice_is_refused(files, tmp_path):
    bundle = pack(tmp_path / "b.zip", files)
    with zipfile.ZipFile(bundle, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(MODEL, b"another")
    assert f"{MODEL} twice" in refusal(bundle)


def test_an_encrypted_file_and_a_rare_compression_are_refused(files, tmp_path):
    bundle = pack(tmp_path / "b.zip", files)
    content = bytearray(bundle.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(content)
    assert "encrypted" in refusal(tmp_path / "locked.zip")
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr("data/x.npy", b"x", zipfile.ZIP_LZMA)
    assert "compressed by method 14" in refusal(bundle)


def test_a_bomb_is_refused_before_a_byte_is_unpacked(files, tmp_path, scratch, monkeypatch):
    monkeypatch.setattr(unpacking, "FREE_BYTES", 2**20)
    files["data/x.npy"] = bytes(2**23)
    assert "more than 100 times as much; refused" in refusal(pack(tmp_path / "b.zip", files))
    monkeypatch.setattr(unpacking, "MAX_BYTES", 2**22)
    assert "would unpack to" in refusal(tmp_path / "b.zip")
    monkeypatch.setattr(unpacking, "MAX_FILES", 3)
    assert "more than 3" in refusal(tmp_path / "b.zip")
    assert not list(scratch.iterdir())


def test_a_file_that_is_longer_than_it_says_is_refused(files, tmp_path, scratch):
    """The sizes in the zip's two headers and in the manifest all lie."""
    true = npy(np.zeros(2000, np.uint8))
    bundle = pack(tmp_path / "b.zip", {**files, "data/x.npy": true})
    said = manifest({**files, "data/x.npy": true})
    said["files"]["data/x.npy"]["size"] = 10
    pack(bundle, {**files, "data/x.npy": true}, said)
    assert "has 2128 bytes, the manifest says 10" in refusal(bundle)
    content = bytearray(bundle.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, at + 24, 10)
    bundle.write_bytes(content)
    message = refusal(bundle)
    assert "no whole zip" in message or "is not the file that was bundled" in message
    assert not list(scratch.iterdir())


def test_more_than_the_disk_holds_is_refused(files, tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 100}))
    assert "MB free" in refusal(pack(tmp_path / "b.zip", files))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_zip_that_was_cut_short_is_refused(share, files, tmp_path, scratch):
    bundle = pack(tmp_path / "b.zip", files)
    content = bundle.read_bytes()
    bundle.write_bytes(content[: int(share * len(content))])
    assert "no whole zip" in refusal(bundle)
    assert not list(scratch.iterdir())


def test_every_changed_byte_of_a_file_is_seen(files, tmp_path):
    bundle = pack(tmp_path / "b.zip", files)
    content = bundle.read_bytes()
    for at in range(60, len(content) - 60, len(content) // 40):
        bundle.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        try:
            with opened(bundle) as folder:
                assert {name: (folder / name).read_bytes() for name in files} == files  # a byte that nobody reads, such as a date
        except HarnessError:
            continue


def test_files_must_be_those_of_the_manifest(files, tmp_path):
    whole = manifest(files)
    assert "data/x.npy, which the manifest does not name" in refusal(pack(tmp_path / "a.zip", {**files, "data/x.npy": b"x"}, whole))
    fewer = {name: content for name, content in files.items() if name != MODEL}
    assert f"names {MODEL}, which is not there" in refusal(pack(tmp_path / "b.zip", fewer, whole))
    changed = {**files, MODEL: files[MODEL][:-1] + b"?"}
    assert "is not the file that was bundled" in refusal(pack(tmp_path / "c.zip", changed, whole))


def test_a_manifest_that_is_not_ours_is_refused(files, tmp_path):
    bundle = tmp_path / "b.zip"
    assert "a newer one" in refusal(pack(bundle, files, manifest(files, schema=2, color="red")))
    assert "unknown key 'color'" in refusal(pack(bundle, files, manifest(files, color="red")))
    assert "not JSON" in refusal(pack(bundle, files, b"\xff{"))
    assert "not JSON" in refusal(pack(bundle, files, b"[" * 100_000))
    assert "manifest.json" in refusal(pack(bundle, files, b"[]"))
    assert "artifacts" in refusal(pack(bundle, files, manifest(files, artifacts=["../onnx-fp32"])))
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("README", "hello")
    assert "is no bundle: it has no manifest.json" in refusal(bundle)
    assert "does not exist" in refusal(tmp_path / "none.zip")


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array([[{}]], dtype=object), "not a plain array"),
        (np.zeros((parts.SIDE, parts.SIDE + 1), np.uint8), "wanted numbers of (16, 16)"),
        (np.zeros((parts.SIDE, parts.SIDE), complex), "wanted numbers of (16, 16)"),
    ],
    ids=["pickled", "another shape", "another type"],
)
def test_an_array_that_is_no_plain_map_is_refused(array, said, files, tmp_path):
    assert said in refusal(pack(tmp_path / "b.zip", {**files, "data/masks/1.npy": npy(array)}))


def test_an_array_that_promises_more_than_it_holds_takes_no_memory(files, tmp_path):
    header = npy(np.zeros((parts.SIDE, parts.SIDE), np.uint8)).replace(b"(16, 16)", b"(9999999999, 9999999999)")
    assert "not a plain array" in refusal(pack(tmp_path / "b.zip", {**files, "data/masks/1.npy": header}))


def test_an_array_that_is_missing_and_a_class_that_is_none_are_refused(files, tmp_path):
    fewer = {name: content for name, content in files.items() if name != "data/reference/2.npy"}
    assert "2.npy in reference" in refusal(pack(tmp_path / "b.zip", fewer))
    wrong = {**files, "data/masks/1.npy": npy(np.full((parts.SIDE, parts.SIDE), 3, np.uint8))}
    with opened(pack(tmp_path / "c.zip", wrong)) as folder, pytest.raises(BundleError, match="t1 holds a class beyond the 3"):
        bundled_spec(folder / "data").open(folder / "data", "test")[1]
    said = manifest(files)
    said["data"]["parts"] = said["data"]["parts"][:-1]
    assert "3 parts, the manifest names 2" in refusal(pack(tmp_path / "d.zip", files, said))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_reference_outputs_that_are_not_finite_are_refused(value, files, tmp_path):
    wrong = parts.logits(parts.tile(1)[0]).astype(np.float32)
    wrong[0, 0, 0] = value
    assert "part 1 hold NaN or infinity" in refusal(pack(tmp_path / "b.zip", {**files, "data/reference/1.npy": npy(wrong)}))


def test_the_command_line_says_what_is_wrong_in_one_error(files, tmp_path, capsys):
    bundle = pack(tmp_path / "b.zip", files)
    bundle.write_bytes(bundle.read_bytes()[:-100])
    assert run(["profile", str(bundle), "--out", str(tmp_path / "records")]) == 4
    assert capsys.readouterr().err.startswith(f"error: {bundle} is no whole zip")
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize("field", ["format", "precision", "sha256"])
def test_no_artifact_says_where_its_measurement_is_written(files, tmp_path, field):
    made = parts.artifact(files[MODEL], **{field: "/../../x"})
    assert work_folder(tmp_path, "onnxruntime", made).resolve().parent == tmp_path.resolve()


def test_an_artifact_of_other_things_than_the_tiles_is_refused(files, tmp_path):
    def with_artifact(**fields) -> dict[str, bytes]:
        return {**files, ARTIFACT: parts.artifact(files[MODEL], **fields).model_dump_json().encode()}

    bundle = tmp_path / "b.zip"
    assert "another checkpoint" in refusal(pack(bundle, with_artifact(checkpoint_sha256="0" * 64)))
    assert "is a pt2" in refusal(pack(bundle, with_artifact(format="pt2")))
    assert "its sha256 differs" in refusal(pack(bundle, with_artifact(sha256="0" * 64)))
    assert "not a plain file name" in refusal(pack(bundle, with_artifact(file="../../model.onnx")))
    said = manifest(files)
    said["data"]["classes"] = ["a", "b", "c"]
    assert "other bands or classes" in refusal(pack(bundle, files, said))
    assert "the manifest lists onnx-int8" in refusal(pack(bundle, files, manifest(files, artifacts=["onnx-int8"])))


def external_model(path: Path, location: str) -> bytes:
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model.SerializeToString()


@pytest.mark.parametrize("location", ["/etc/passwd", "../../secret.bin", "weights.bin"])
def test_weights_that_are_not_in_the_bundle_are_refused(location, files, tmp_path):
    model = external_model(tmp_path / "model.onnx", location)
    said = {**files, MODEL: model, ARTIFACT: parts.artifact(model).model_dump_json().encode()}
    assert f"keeps weights in {location!r}" in refusal(pack(tmp_path / "b.zip", said))


def test_a_bundled_model_that_is_no_model_is_refused(files, tmp_path):
    for model, reason in ((b"", "holds no node"), (b"no protobuf", "not a readable ONNX file"), (files[MODEL][:-7], "not a readable ONNX file")):
        said = {**files, MODEL: model, ARTIFACT: parts.artifact(model).model_dump_json().encode()}
        assert reason in refusal(pack(tmp_path / "b.zip", said))


def test_external_weights_are_found_wherever_a_graph_may_name_them(tmp_path):
    """Against onnx's own reader of the same bytes: an initializer, a node's constant, a branch, a function and a sparse tensor."""
    helper = onnx.helper

    def away(name: str) -> onnx.TensorProto:
        tensor = onnx.TensorProto(name=name, data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
        tensor.external_data.add(key="offset", value="0")
        tensor.external_data.add(key="location", value=f"{name}.bin")
        return tensor

    constant = helper.make_node("Constant", [], ["c"], value=away("constant"))
    branch = helper.make_graph([helper.make_node("Constant", [], ["d"], value=away("branch"))], "b", [], [])
    sparse = onnx.SparseTensorProto(values=away("values"), indices=away("indices"), dims=[1])
    graph = helper.make_graph([constant, helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)], "g", [], [], [away("weight")])
    graph.sparse_initializer.append(sparse)
    function = helper.make_function("f", "F", [], ["e"], [helper.make_node("Constant", [], ["e"], value=away("function"))], [])
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph, functions=[function]).SerializeToString())
    assert external_locations(path) == {f"{name}.bin" for name in ("weight", "constant", "branch", "function", "values", "indices")}
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(MeasurementError, match="not a readable ONNX file"):
        external_locations(path)


def test_a_file_is_read_as_onnx_itself_reads_it(tmp_path):
    """Every type, named and open sides, packed sides, negative numbers, several opsets, against onnx's own reader."""
    helper = onnx.helper
    kinds = [kind for kind in onnx.TensorProto.DataType.values() if kind]
    values = [helper.make_tensor_value_info(f"v{kind}", kind, ["n", 3, None, 0]) for kind in kinds]
    weight = onnx.TensorProto(name="w", data_type=1)
    packed = b"\x0a\x03\x02\x80\x01"  # field 1, three bytes: 2 and 128
    weight.ParseFromString(weight.SerializeToString() + packed)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.x", 3)]
    graph = helper.make_graph([helper.make_node("Relu", ["v1"], ["y"])], "g", values, [helper.make_tensor_value_info("y", 1, [-1, "m"])], [weight])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="p", producer_version="1")
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    found = read_wire(path)
    assert [(value.name, value.kind, value.sides) for value in found.inputs] == [(f"v{kind}", kind, ("n", 3, "", 0)) for kind in kinds]
    assert found.outputs[0].sides == (-1, "m")
    assert [(tensor.name, tensor.sides, tensor.kind, tensor.external) for tensor in found.tensors] == [("w", tuple(weight.dims), 1, {})]
    assert tuple(weight.dims) == (2, 128)
    assert (found.ir_version, found.producer, found.opsets) == (8, "p 1", {"ai.onnx": 17, "com.x": 3})
    assert (found.weights, found.operators, found.nodes) == ({"w"}, {"Relu"}, 1)


@pytest.mark.parametrize(
    ("values", "kind", "stored"),
    [
        ([0, 255], "float32", "uint8"),
        ([0, 256], "float32", "uint16"),
        ([-1, 300], "float32", "int16"),
        ([0.5, 1], "float32", "float32"),
        ([-0.0, 1], "float32", "float32"),
        ([np.nan, 1], "float32", "float32"),
        ([np.inf, 1], "float32", "float32"),
        ([1e9, 1], "float32", "float32"),
        ([0, 2], "int64", "uint8"),
        ([-1, 2], "int64", "int16"),
        ([0, 2**40], "int64", "int64"),
    ],
)
def test_numbers_are_stored_small_and_come_back_bit_by_bit(values, kind, stored):
    array = np.array([values], kind)
    small = narrowed(array, kind)
    assert small.dtype == stored
    assert small.astype(kind).tobytes() == array.tobytes()


def test_a_key_is_of_the_pixels_and_not_of_their_type():
    image = parts.tile(0)[0]
    assert part_key(image) == part_key(image.astype(np.float32)) == part_key(np.asfortranarray(image)) != part_key(parts.tile(1)[0])


def test_tiles_are_spread_over_the_split():
    assert chosen_tiles(10, None) == list(range(10))
    assert chosen_tiles(10, 1) == [0]
    assert chosen_tiles(10, 4) == [0, 3, 6, 9]
    for wrong in (0, 11):
        with pytest.raises(ConfigError, match="10 tiles"):
            chosen_tiles(10, wrong)


def test_the_same_files_give_the_same_bytes_whatever_their_order_date_and_mode(files, tmp_path):
    def archive(name: str, order, mode: int) -> bytes:
        folder = tmp_path / name
        paths = {}
        for member in order:
            paths[member] = folder / member
            paths[member].parent.mkdir(parents=True, exist_ok=True)
            paths[member].write_bytes(files[member])
            paths[member].chmod(mode)
        said = json.dumps(manifest(files), sort_keys=True).encode()
        return write_archive(folder / "b.zip", ("manifest.json", said), paths, lambda done, total, what: None).read_bytes()

    first = archive("a", sorted(files), 0o600)
    assert first == archive("b", sorted(files, reverse=True), 0o755)
    (tmp_path / "c.zip").write_bytes(first)
    with opened(tmp_path / "c.zip"):
        pass
    with zipfile.ZipFile(tmp_path / "c.zip") as found:
        assert found.namelist() == ["manifest.json", *sorted(files)]
        assert {(entry.date_time, entry.external_attr >> 16) for entry in found.infolist()} == {((1980, 1, 1, 0, 0, 0), stat.S_IFREG | 0o644)}


def test_nothing_is_left_where_a_bundle_could_not_be_written(tmp_path):
    with pytest.raises(HarnessError):
        write_archive(tmp_path / "b.zip", ("manifest.json", b"{}"), {"x": tmp_path / "none"}, lambda done, total, what: None)
    assert not list(tmp_path.iterdir())
