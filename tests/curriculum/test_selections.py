"""A selection file comes back as it was written, and says so when it cannot."""

from __future__ import annotations

import json

import pytest

from kairos.curriculum.selections import Selection, read_selection, unique_uids, write_selection


def test_a_selection_comes_back_as_it_was_written(tmp_path):
    selection = Selection(("b", "a", "caf\u00e9", "b"))
    write_selection(tmp_path / "selections" / "3.json", selection)
    assert read_selection(tmp_path / "selections" / "3.json") == selection
    assert [path.name for path in (tmp_path / "selections").iterdir()] == ["3.json"]


def test_the_hash_tells_selections_and_their_order_apart():
    hashes = {Selection(uids).hash for uids in [("a", "b"), ("b", "a"), ("ab",), ("a", "b", "b"), ("a,b",)]}
    assert len(hashes) == 5
    assert Selection(("a", "b")).hash == Selection(["a", "b"]).hash


def test_uids_become_indices_and_unknown_ones_are_named():
    assert Selection(("c", "a", "c")).indices(["a", "b", "c"]) == [2, 0, 2]
    unknown = Selection(("a", *"uvwxyz"))
    with pytest.raises(
        ValueError, match="6 of 7 selected prompts are not in the data, first u, v, w, x, y: use the data"
    ):
        unknown.indices(["a", "b"])


def test_what_is_named_again_gets_a_name_that_no_other_prompt_has():
    assert unique_uids(["b", "a", "b", "b"], ["a", "b"]) == ["b", "a", "b#2", "b#3"]
    assert unique_uids(["a", "a", "a#2", "a#2", "a"], ["a", "a#2"]) == ["a", "a#3", "a#2", "a#2#2", "a#4"]


def test_a_changed_file_is_noticed(tmp_path):
    path = tmp_path / "s.json"
    write_selection(path, Selection(("a", "b")))
    content = json.loads(path.read_text())
    content["uids"].append("c")
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"s\.json was changed after it was written"):
        read_selection(path)


@pytest.mark.parametrize("text", ["", "[]", '{"uids": ["a"]}', '{"uids": 3, "hash": ""}', "{"])
def test_what_is_no_selection_is_refused(tmp_path, text):
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is no selection file"):
        read_selection(path)


def test_an_empty_selection_is_refused():
    with pytest.raises(ValueError, match="at least one uid"):
        Selection(())
