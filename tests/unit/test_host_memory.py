"""Memory of this process, against files and buffers of known size."""

import mmap
import os

import numpy as np
import pytest

from harness.support import host_memory

pytestmark = pytest.mark.skipif(host_memory.resettable() is not None, reason="needs /proc/self/clear_refs")
SIZE = 96 * 2**20
#: What the test process itself allocates meanwhile.
OWN = 8 * 2**20
PAGE = 4096


def touched(descriptor: int, prot: int) -> mmap.mmap:
    mapping = mmap.mmap(descriptor, SIZE, flags=mmap.MAP_PRIVATE, prot=prot)
    for offset in range(0, SIZE, PAGE):
        mapping[offset]
    return mapping


def mapped(path, prot: int) -> mmap.mmap:
    path.write_bytes(os.urandom(PAGE) * (SIZE // PAGE))
    with path.open("rb") as file:
        return touched(file.fileno(), prot)


def added(act) -> tuple[float, float]:
    """Bytes that `act` adds to the resident ones and to those of programs, while its result is alive."""
    resident, programs = host_memory.resident(), host_memory.program_pages()
    kept = act()
    grown = host_memory.resident() - resident, host_memory.program_pages() - programs
    del kept
    return grown


def test_a_program_file_is_told_apart_from_data_files_and_buffers(tmp_path):
    program = added(lambda: mapped(tmp_path / "lib.so", mmap.PROT_READ | mmap.PROT_EXEC))
    data = added(lambda: mapped(tmp_path / "weights.bin", mmap.PROT_READ))
    buffer = added(lambda: np.ones(SIZE, np.uint8))
    assert program == pytest.approx((SIZE, SIZE), abs=OWN)
    assert data == pytest.approx((SIZE, 0), abs=OWN)
    assert buffer == pytest.approx((SIZE, 0), abs=OWN)


def test_pages_of_a_program_that_were_written_to_are_the_processs_own(tmp_path):

    def write() -> mmap.mmap:
        mapping = mapped(tmp_path / "lib.so", mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        for offset in range(0, SIZE // 2, PAGE):
            mapping[offset] = 1
        return mapping

    assert added(write) == pytest.approx((SIZE, SIZE // 2), abs=OWN)


def test_code_that_was_made_in_memory_is_no_file():
    def make() -> mmap.mmap:
        descriptor = os.memfd_create("xbyak")
        try:
            os.truncate(descriptor, SIZE)
            return touched(descriptor, mmap.PROT_READ | mmap.PROT_EXEC)
        finally:
            os.close(descriptor)

    assert added(make)[1] == pytest.approx(0, abs=OWN)


def test_the_peak_is_of_what_was_freed_too(tmp_path):
    host_memory.release()
    host_memory.reset_peak()
    before = host_memory.resident()
    assert added(lambda: np.ones(SIZE, np.uint8))[0] == pytest.approx(SIZE, abs=OWN)
    assert host_memory.peak() - before == pytest.approx(SIZE, abs=OWN)
