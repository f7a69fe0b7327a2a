"""Memory of a process, against files and buffers of known size, in fresh processes: what others freed in this one would be used again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.support import host_memory

pytestmark = pytest.mark.skipif(host_memory.resettable() is not None, reason="needs /proc/self/clear_refs")
SIZE = 96 * 2**20
#: What the process itself allocates meanwhile.
OWN = 4 * 2**20

#: What each case holds while the growth of resident bytes and of those of programs is read; the file has SIZE bytes.
CODE = """
import json, mmap, os, sys

from harness.support import host_memory

SIZE, PAGE = 96 * 2**20, 4096
READ, WRITE, EXECUTE = mmap.PROT_READ, mmap.PROT_WRITE, mmap.PROT_EXEC


def mapped(descriptor, prot, written=0):
    mapping = mmap.mmap(descriptor, SIZE, flags=mmap.MAP_PRIVATE, prot=prot)
    for offset in range(0, SIZE, PAGE):
        if offset < written:
            mapping[offset] = 1
        mapping[offset]
    return mapping


def file():
    return os.open(sys.argv[2], os.O_RDONLY)


def in_memory():
    descriptor = os.memfd_create("xbyak")
    os.truncate(descriptor, SIZE)
    return descriptor


cases = {
    "program": lambda: mapped(file(), READ | EXECUTE),
    "data": lambda: mapped(file(), READ),
    "buffer": lambda: bytearray(os.urandom(PAGE)) * (SIZE // PAGE),
    "written program": lambda: mapped(file(), READ | WRITE | EXECUTE, written=SIZE // 2),
    "code made in memory": lambda: mapped(in_memory(), READ | EXECUTE),
}
host_memory.program_pages()
host_memory.release()
host_memory.reset_peak()
before = host_memory.resident(), host_memory.program_pages()
kept = cases[sys.argv[1]]()
grown = [host_memory.resident() - before[0], host_memory.program_pages() - before[1]]
del kept
print(json.dumps([*grown, host_memory.peak() - before[0], host_memory.resident() - before[0]]))
"""


@pytest.mark.parametrize(
    ("case", "resident", "program"),
    [("program", SIZE, SIZE), ("data", SIZE, 0), ("buffer", SIZE, 0), ("written program", SIZE, SIZE // 2), ("code made in memory", SIZE, 0)],
)
def test_pages_of_programs_are_told_apart_and_the_peak_outlasts_them(tmp_path, case, resident, program):
    (tmp_path / "file").write_bytes(bytes(range(256)) * (SIZE // 256))
    told = subprocess.run(
        [sys.executable, "-c", CODE, case, str(tmp_path / "file")], check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2]
    ).stdout
    grown, programs, peak, after = json.loads(told)
    assert (grown, programs) == pytest.approx((resident, program), abs=OWN)
    assert peak == pytest.approx(resident, abs=OWN)
    assert after == pytest.approx(0, abs=OWN)
