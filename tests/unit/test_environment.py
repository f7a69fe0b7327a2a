"""The machine's name: what two machines that are not alike differ by."""

from harness.profiling.environment import cpu_name, environment

X86 = "processor\t: 0\nmodel\t\t: 1\nmodel name\t: Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz\nflags\t\t: avx2\n"
#: As Linux writes it: no name of the model.
CORE = "processor\t: {number}\nFeatures\t: asimd sve bf16\nCPU implementer\t: {maker}\nCPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: {part}\n\n"
#: As on NVIDIA's boards: the name of the architecture.
NAMED = "processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n"


def cores(*parts: str) -> str:
    return "".join(CORE.format(number=number, maker="0x41", part=part) for number, part in enumerate(parts))


def test_a_processor_with_a_name_has_that():
    assert cpu_name(X86) == "Intel Xeon Platinum 8375C CPU @ 2.90GHz"


def test_arm_processors_without_a_name_are_told_apart_by_their_cores(monkeypatch):
    monkeypatch.setattr("platform.processor", lambda: "aarch64")
    assert cpu_name(cores("0xd40", "0xd40")) == "aarch64 0x41/0xd40"  # Neoverse V1
    assert cpu_name(cores("0xd4f")) == "aarch64 0x41/0xd4f"  # Neoverse V2
    assert cpu_name(cores("0xd05", "0xd05", "0xd0b")) == "aarch64 0x41/0xd05 0x41/0xd0b"  # small and large cores
    assert cpu_name(NAMED) == "ARMv8 Processor rev 1 (v8l) 0x41/0xd42"


def test_another_core_is_another_fingerprint(monkeypatch):
    found = set()
    for part in ("0xd40", "0xd4f"):
        monkeypatch.setattr("harness.profiling.environment._cpuinfo", lambda part=part: cores(part))
        found.add(environment(1).fingerprint)
    assert len(found) == 2


def test_without_proc_the_platform_gives_the_name(monkeypatch):
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert cpu_name("") == "arm64"
