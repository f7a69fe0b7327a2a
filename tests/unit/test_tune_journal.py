"""The journal of a search: what is whole is kept, what a kill cut short is not, and another question starts anew."""

import pytest

from harness.core.errors import ConfigError
from harness.tuning import journal

SETTINGS = {"machine": "abc", "--threads": (1, 2)}
OPEN: list[journal.Journal] = []


def Journal(*given, **named) -> journal.Journal:
    """The journal as the next process finds it: all that were opened before are closed."""
    while OPEN:
        OPEN.pop().close()
    OPEN.append(journal.Journal(*given, **named))
    return OPEN[-1]


def test_two_searches_do_not_share_a_journal(tmp_path):
    """The second would begin it anew with its own settings, and what the first finds would stand below them."""
    path = tmp_path / "w.tune.jsonl"
    Journal(path, SETTINGS).add("a", 1)
    content = path.read_text()
    with pytest.raises(ConfigError, match="another `harness tune` is at work"):
        journal.Journal(path, {**SETTINGS, "--split": "test"})
    assert path.read_text() == content
    OPEN[-1].add("b", 2)
    assert Journal(path, SETTINGS).resumed == 2


def test_a_file_that_a_kill_left_empty_is_begun(tmp_path):
    path = tmp_path / "w.tune.jsonl"
    path.touch()
    Journal(path, SETTINGS).add("a", 1)
    assert Journal(path, SETTINGS).resumed == 1


def test_entries_are_there_again_with_the_same_settings(tmp_path):
    path = tmp_path / "w.tune.jsonl"
    first = Journal(path, SETTINGS)
    first.add("alone a", {"drop": 0.25})
    first.add("export b", "no such operator")
    again = Journal(path, SETTINGS)
    assert (again.resumed, again.anew) == (2, "")
    assert (again.get("alone a"), again.get("export b"), again.get("alone c")) == ({"drop": 0.25}, "no such operator", None)


def test_a_line_cut_short_by_a_kill_is_left_out_and_what_follows_is_whole(tmp_path):
    path = tmp_path / "w.tune.jsonl"
    first = Journal(path, SETTINGS)
    first.add("a", 1)
    first.add("b", 2)
    path.write_bytes(path.read_bytes()[:-6])
    again = Journal(path, SETTINGS)
    assert (again.get("a"), again.get("b")) == (1, None)
    again.add("b", 3)
    assert Journal(path, SETTINGS).get("b") == 3


@pytest.mark.parametrize(
    ("settings", "force", "said"), [({**SETTINGS, "machine": "other"}, False, "its machine was abc, now other"), (SETTINGS, True, "")], ids=["machine", "force"]
)
def test_another_machine_and_force_start_anew(tmp_path, settings, force, said):
    path = tmp_path / "w.tune.jsonl"
    Journal(path, SETTINGS).add("a", 1)
    again = Journal(path, settings, force=force)
    assert (again.resumed, again.anew, again.get("a")) == (0, said, None)
    assert len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize("content", ["not a journal\n", '{"journal": 1, "settings": {}}\n{"key": 1}\n', '{"some": "json"}\n'])
def test_a_file_that_is_no_journal_is_not_written_over(tmp_path, content):
    path = tmp_path / "w.tune.jsonl"
    path.write_text(content)
    with pytest.raises(ConfigError, match="no journal of this verb"):
        Journal(path, SETTINGS)
    assert path.read_text() == content
    assert Journal(path, SETTINGS, force=True).resumed == 0


@pytest.mark.parametrize("content", ["123\n", '{"journal": 1, "settings": []}\n', '{"journal": 1, "settings": {}}\n[1]\n'])
def test_lines_of_another_shape_are_no_journal(tmp_path, content):
    (tmp_path / "w.tune.jsonl").write_text(content)
    with pytest.raises(ConfigError, match="no journal"):
        Journal(tmp_path / "w.tune.jsonl", SETTINGS)
