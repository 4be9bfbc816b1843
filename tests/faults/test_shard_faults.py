"""Sharded checkpoints that are killed while they are written, damaged, or hold a pickle: the one before is taken."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
from helpers.damaging import cut, flipped
from torch import Tensor

from kairos.core.seals import BrokenFile, remove, seal_of
from kairos.policy.models.checkpoints import NotPlain, load, newest_intact, state_of
from kairos.policy.models.shards.index import Index, Piece, Stored
from kairos.policy.models.shards.reading import StoredTensor
from kairos.policy.models.shards.stream import write_tensors
from kairos.runs.folder import RunFolder
from kairos.train.devices import shard_saving

FILES = ("index.json", ".index.json.seal", "rank-00000.safetensors")


def tree(iteration: int) -> dict[str, object]:
    weight = torch.full((50, 40), float(iteration))
    moments = {"step": torch.tensor(float(iteration)), "exp_avg": weight / 2}
    groups = [{"params": [0], "betas": (0.9, 0.99), "lr": 1e-6, "foreach": None}]
    return {
        "state_dict": {"policy.weight": weight, "policy.kept": weight.bfloat16(), "policy.bias": torch.zeros(0)},
        "optimizer_states": [{"state": {0: moments}, "param_groups": groups}],
        "iteration": iteration,
        "callbacks": {"SaveEvery": {"best": float("-inf")}},
    }


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """Two checkpoints of a run."""
    for iteration in (2, 4):
        shard_saving.save(tree(iteration), name(tmp_path / "checkpoints", iteration))
    return tmp_path / "checkpoints"


def name(folder: Path, iteration: int) -> Path:
    return folder / f"iteration-{iteration:06d}.ckpt"


def assert_is(path: Path, iteration: int) -> None:
    """It holds what was saved after that iteration, to the last bit and of the same types."""
    wanted, found = tree(iteration), load(path)
    torch.testing.assert_close(dict(state_of(path)), wanted["state_dict"], atol=0, rtol=0)
    assert repr(found["optimizer_states"]) == repr(wanted["optimizer_states"])
    assert found["callbacks"] == wanted["callbacks"] and found["iteration"] == iteration


def killed(sabotage: Callable[[], None], work: Callable[[], None]) -> bool:
    """Do the work in a process of its own under sabotage; whether that killed it."""
    process = os.fork()
    if not process:
        sabotage()
        work()
        os._exit(0)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_what_was_saved_is_read(checkpoints: Path):
    found = newest_intact(checkpoints)
    assert found.path == name(checkpoints, 4) and not found.remarks
    assert_is(found.path, 4)


def test_a_kill_at_any_point_of_the_writing_leaves_a_whole_checkpoint(
    checkpoints: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
):
    """Of a new name the one before, of a name that is there the old content or the new."""
    monkeypatch.syspath_prepend(repository / "benchmarks")
    from fault_kinds.sabotage import CountsOperations, DiesAtOperation, DiesInWrite

    new, best, chance = name(checkpoints, 6), checkpoints / "best.ckpt", Random(0)

    def write() -> None:
        shard_saving.save(tree(6), new)
        shard_saving.save(tree(6), best)

    shard_saving.save(tree(2), best)
    counted = checkpoints.parent / "operations"
    assert not killed(CountsOperations(checkpoints, counted), write)
    operations, size = int(counted.read_text()), max(path.stat().st_size for path in new.iterdir())
    assert operations > 10
    remove(new)
    ways = [DiesAtOperation(checkpoints, at + 1) for at in range(operations)]
    for sabotage in [*ways, *(DiesInWrite(chance.randrange(1, size)) for _ in range(20))]:
        shard_saving.save(tree(2), best)
        assert killed(sabotage, write), sabotage
        found = newest_intact(checkpoints)
        assert found.path is not None and not found.remarks, sabotage
        assert_is(found.path, 6 if found.path == new else 4)
        assert_is(best, 2 if load(best)["iteration"] == 2 else 6)
        RunFolder(checkpoints.parent).sweep()
        assert not list(checkpoints.glob(".*.unfinished"))
        remove(new)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", [flipped, cut])
def test_damage_of_any_file_is_named_and_the_checkpoint_before_is_used(file: str, damage: Callable, checkpoints: Path):
    for seed in range(24):
        with damage(name(checkpoints, 4) / file, seed) as place:
            found = newest_intact(checkpoints)
            assert found.path == name(checkpoints, 2), f"byte {place} passed"
            assert file.removeprefix(".").removesuffix(".seal") in found.remarks[0]
            with pytest.raises(BrokenFile, match=file.removeprefix(".").removesuffix(".seal")):
                state_of(name(checkpoints, 4))
    assert newest_intact(checkpoints).path == name(checkpoints, 4)


def test_a_missing_file_is_named(checkpoints: Path):
    (name(checkpoints, 4) / "rank-00000.safetensors").unlink()
    assert "rank-00000.safetensors is missing" in newest_intact(checkpoints).remarks[0]
    (name(checkpoints, 2) / "index.json").unlink()
    with pytest.raises(BrokenFile, match=r"(?s)rank-00000.safetensors is missing.*index.json is missing"):
        newest_intact(checkpoints)


def test_a_copy_without_seals_is_compared_all_the_same(checkpoints: Path):
    (name(checkpoints, 4) / ".index.json.seal").unlink()
    found = newest_intact(checkpoints)
    assert found.path == name(checkpoints, 4) and "index.json has no seal" in found.remarks[0]
    for seed in range(8):
        with flipped(name(checkpoints, 4) / "rank-00000.safetensors", seed):
            assert newest_intact(checkpoints).path == name(checkpoints, 2)


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.mark),)


def test_a_pickle_is_never_loaded(checkpoints: Path, tmp_path: Path):
    """In the place of shards, with an index that fits; and as torch's own distributed checkpoints have one."""
    path, mark = name(checkpoints, 4), tmp_path / "mark"
    evil = pickle.dumps(Evil(mark))
    file = path / "rank-00000.safetensors"
    file.write_bytes(evil)
    with pytest.raises(BrokenFile, match=r"rank-00000.safetensors is not what was written"):
        state_of(path)
    index = Index.read(path)
    Index({file.name: seal_of(file)}, index.tensors, index.state).write(path)
    with pytest.raises(BrokenFile, match=r"rank-00000.safetensors holds no .* that can be read"):
        dict(state_of(path))
    for held in list(path.iterdir()):
        held.unlink()
    for pickled in (".metadata", "meta.pt"):
        (path / pickled).write_bytes(evil)
    with pytest.raises(NotPlain, match=r"whose index is a pickle, which is never loaded"):
        state_of(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda held: held["tensors"]["state_dict/policy.weight"]["pieces"][0].update(file="../a.safetensors"),
            "own fol",
        ),
        (lambda held: held["tensors"]["state_dict/policy.weight"]["pieces"][0].update(offset=[1, 0]), "outside of"),
        (lambda held: held["tensors"]["state_dict/policy.weight"].update(pieces=[]), "do not make it up"),
        (lambda held: held["files"].clear(), "does not list"),
        (lambda held: held.update(format="kairos sharded checkpoint 2"), "only 'kairos sharded checkpoint 1' is read"),
        (lambda held: held["state"].update(iteration={"$tensor": "none"}), "names a tensor 'none'"),
    ],
)
def test_an_index_that_cannot_be_true_is_refused(change: Callable[[dict], None], says: str, checkpoints: Path):
    path = name(checkpoints, 4) / "index.json"
    held = json.loads(path.read_text())
    change(held)
    path.write_text(json.dumps(held))
    (path.parent / ".index.json.seal").unlink()
    with pytest.raises(BrokenFile, match=rf"(?s)index.json.*{says}"):
        dict(state_of(path.parent))


def test_what_is_not_plain_is_not_saved(tmp_path: Path):
    with pytest.raises(TypeError, match=r"callbacks/a: a set is no plain value"):
        shard_saving.save({"callbacks": {"a": {1, 2}}}, tmp_path / "a.ckpt")
    assert not (tmp_path / "a.ckpt").exists()


def test_the_pieces_of_any_number_of_ranks_are_put_together(tmp_path: Path):
    """Boxes are cut out across the borders of the files."""
    whole: Tensor = torch.arange(7 * 6).reshape(7, 6)
    bounds = [(0, 3), (3, 6), (6, 7)]
    pieces = []
    for rank, (first, end) in enumerate(bounds):
        write_tensors(tmp_path / f"rank-{rank}.safetensors", {"a": whole[first:end]})
        pieces.append(Piece(f"rank-{rank}.safetensors", (first, 0), (end - first, 6)))
    stored = StoredTensor(tmp_path, "a", Stored((7, 6), "I64", tuple(pieces)))
    assert torch.equal(stored.whole(), whole)
    for first in range(7):
        for size in range(8 - first):
            assert torch.equal(stored.box((first, 1), (size, 4)), whole[first : first + size, 1:5])
