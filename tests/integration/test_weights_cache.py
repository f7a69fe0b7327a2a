"""Published weights: a local HTTP server stands for the authors' host."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from harness.cli.main import run
from harness.core.artifact import read_checkpoint
from harness.core.errors import CheckpointError, ConfigError, HarnessError, UnavailableError
from harness.core.files import sha256_of_file
from harness.core.registry import DATASETS, ENCODERS
from harness.core.specs import EncoderSpec, WeightsFile
from harness.support.weights_cache import official_file, official_weights, weights_folder

CONTENT = bytes(range(256)) * 12_000  # 3 MB: several blocks
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PAGE = "https://example.org/page"


@dataclass
class Host:
    url: str
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def host() -> Iterator[Host]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path == "/gone.pth":
                self.send_error(404)
                return
            if self.path == "/moved.pth":
                self.send_response(302)
                self.send_header("Location", "/weights.pth")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if self.path == "/page.pth" else "application/octet-stream")
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:1_500_000] if self.path == "/cut.pth" else CONTENT)

        def log_message(self, *arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield Host(f"http://127.0.0.1:{server.server_address[1]}", asked)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


def encoder(*files: WeightsFile, name: str = "some") -> EncoderSpec:
    return EncoderSpec(name=name, build=torch.nn.Identity, divisor=1, load_weights=lambda module, path: {}, source=PAGE, official=files)


def get(spec: EncoderSpec, **options: object) -> Path:
    return official_weights(spec, options, progress=lambda done, total, what: None)


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


def test_a_file_is_downloaded_once_and_whole(host: Host, cache: Path) -> None:
    told: list[tuple[int, int, str]] = []
    spec = encoder(WeightsFile(url=f"{host.url}/weights.pth", name="w.pth", sha256=SHA256))
    path = official_weights(spec, {}, progress=lambda *state: told.append(state))
    assert path == cache / "weights" / "some" / "w.pth"
    assert path.read_bytes() == CONTENT
    assert left(cache) == ["w.pth"]
    assert told[0] == (0, 2, "downloading w.pth")
    assert told[-1] == (2, 2, "downloading w.pth")
    assert get(spec) == path
    assert host.asked == ["/weights.pth"]


def test_a_file_that_has_moved_is_followed(host: Host) -> None:
    assert get(encoder(WeightsFile(url=f"{host.url}/moved.pth", name="w.pth"))).read_bytes() == CONTENT


def test_the_options_choose_the_file(host: Host) -> None:
    spec = encoder(
        WeightsFile(url=f"{host.url}/a.pth", name="a.pth", options={"sensor": "s2"}),
        WeightsFile(url=f"{host.url}/b.pth", name="b.pth", options={"sensor": "s1"}),
    )
    assert get(spec, sensor="s1").name == "b.pth"
    radar = official_file(ENCODERS.load("s12_mae"), {"sensor": "s1"})
    optical = official_file(ENCODERS.load("s12_mae"), {})
    assert radar is not None
    assert optical is not None
    assert (radar.name, optical.name) == ("B2_vits16_mae_ep99.pth", "vits16_mae.pth")


@pytest.mark.parametrize(
    ("path", "sha256", "error", "message"),
    [
        ("/cut.pth", "", UnavailableError, "stopped after 1500000 of 3072000 bytes"),
        ("/gone.pth", "", UnavailableError, "answered 404 Not Found"),
        ("/page.pth", "", UnavailableError, "gives a web page, not a file"),
        ("/weights.pth", "0" * 64, CheckpointError, f"its sha256 is {SHA256}, wanted {'0' * 64}"),
    ],
)
def test_what_is_not_the_file_leaves_nothing_and_says_what_to_do(
    path: str, sha256: str, error: type[HarnessError], message: str, host: Host, cache: Path
) -> None:
    with pytest.raises(error, match=message) as raised:
        get(encoder(WeightsFile(url=host.url + path, name="w.pth", sha256=sha256)))
    assert raised.value.hint == f"download it from {PAGE} and put it at {cache / 'weights' / 'some' / 'w.pth'}"
    assert left(cache) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/w.pth", "http://no-such-host.invalid/w.pth", "file:///etc/hostname"])
def test_without_a_network_the_page_and_the_place_are_named(url: str, cache: Path) -> None:
    with pytest.raises(UnavailableError, match="can't be reached") as raised:
        get(encoder(WeightsFile(url=url, name="w.pth")))
    assert raised.value.hint == f"download it from {PAGE} and put it at {cache / 'weights' / 'some' / 'w.pth'}"
    assert raised.value.exit_code == 3
    assert left(cache) == []


def test_a_file_put_there_by_hand_is_taken(host: Host) -> None:
    spec = encoder(WeightsFile(url=f"{host.url}/weights.pth", name="w.pth", sha256=SHA256))
    weights_folder("some").mkdir(parents=True)
    (weights_folder("some") / "w.pth").write_bytes(CONTENT)
    assert get(spec).read_bytes() == CONTENT
    assert host.asked == []
    (weights_folder("some") / "w.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(CheckpointError, match="is not the published file"):
        get(spec)


def test_where_no_location_is_known_the_only_file_in_the_folder_is_taken() -> None:
    spec = encoder(name="timm:resnet18.a1_in1k")
    folder = weights_folder(spec.name)
    with pytest.raises(UnavailableError, match=PAGE) as raised:
        get(spec)
    assert str(folder) in raised.value.hint
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"x")
    (folder / "README.md").write_text("notes")
    assert get(spec) == folder / "model.safetensors"
    (folder / "other.pth").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"several files: model\.safetensors, other\.pth"):
        get(spec)


def test_an_encoder_without_published_weights_says_so() -> None:
    with pytest.raises(ConfigError, match="unet has no published weights"):
        get(ENCODERS.load("unet"))


def test_a_folder_that_cannot_be_written_is_an_error(host: Host, cache: Path) -> None:
    cache.mkdir()
    (cache / "weights").write_text("in the way")
    with pytest.raises(HarnessError, match="cannot write"):
        get(encoder(WeightsFile(url=f"{host.url}/weights.pth", name="w.pth")))


def test_every_known_location_is_a_web_address_with_a_name_of_its_own() -> None:
    plain = [name for name in ENCODERS.names() if name not in ("smp", "terratorch", "timm", "torchgeo")]
    files = [file for name in plain for file in ENCODERS.load(name).official]
    assert len(files) == 12
    assert all(file.url.startswith("https://") and "/" not in file.name and Path(file.name).suffix for file in files)


def test_train_starts_from_the_cached_weights_and_records_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = DATASETS.load("synthetic")
    assert run(["data", "prepare", "synthetic"]) == 0
    words = ["train", "timm:test_efficientnet+linear", "--data", "synthetic", "--weights", "official", "--epochs", "1", "--out", str(tmp_path / "run")]
    assert run([*words, "--regime", "frozen"]) == 3
    assert f"into {weights_folder('timm:test_efficientnet')}" in capsys.readouterr().err
    assert run(words) == 2
    assert "scratch starts from random weights, got --weights official" in capsys.readouterr().err

    encoder_spec = ENCODERS.load("timm:test_efficientnet")
    module = encoder_spec.build(spec.bands, 64)
    weights = weights_folder(encoder_spec.name) / "published.safetensors"
    weights.parent.mkdir(parents=True)
    save_file(module.network.state_dict(), weights)
    assert run([*words, "--regime", "frozen"]) == 0
    report = read_checkpoint(tmp_path / "run").initial_weights
    assert (report["source"], report["sha256"], report["used"]) == (weights.name, sha256_of_file(weights), len(module.state_dict()))
