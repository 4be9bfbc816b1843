"""A run's folder is data: whoever made it, continuing it, evaluating it or reading it runs no code that it brings."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from helpers.running import TOY
from helpers.scripting import Script

from kairos.compose import CONF, assemble, compose, resolved
from kairos.core.seals import BrokenFile
from kairos.runs.folder import RunError, RunFolder
from kairos.runs.trusted import LIBRARIES, Trusted
from kairos.stored import compose_stored

OPEN = "{_target_:builtins.open,file:MARK,mode:w}"
"""Makes the file MARK where it is instantiated."""
ESCAPES = {
    "a callback": ([f"+callbacks.evil={OPEN}"], "callbacks.evil: builtins.open"),
    "code of a hub": (
        ["+callbacks.evil={_target_:torch.hub.load,repo_or_dir:FOLDER,model:evil,source:local,trust_repo:true}"],
        "callbacks.evil: torch.hub.load",
    ),
    "below a part of Kairos": (
        [f"+callbacks.evil={{_target_:kairos.train.callbacks.early_stop.EarlyStop,monitor:{OPEN},patience:1}}"],
        "callbacks.evil.monitor: builtins.open",
    ),
    "below a partial": (
        [f"+callbacks.evil={{_target_:kairos.credit.shapes.Power,_partial_:true,exponent:{OPEN}}}"],
        "callbacks.evil.exponent: builtins.open",
    ),
    "as an argument by position": (
        [f"+callbacks.evil={{_target_:kairos.credit.shapes.Power,_args_:[{OPEN}]}}"],
        "callbacks.evil._args_.0: builtins.open",
    ),
    "in a list": ([f"+trainer.plugins=[{OPEN}]"], "trainer.plugins.0: builtins.open"),
    "in place of the trainer": (["trainer._target_=builtins.dict", f"+trainer.x={OPEN}"], "trainer: builtins.dict"),
    "by an interpolation": (
        ["+callbacks.evil={_target_:${hidden},file:MARK,mode:w}", "+hidden=builtins.open"],
        "callbacks.evil: builtins.open",
    ),
    "by an interpolation of pieces": (
        ["+callbacks.evil={_target_:'${a}.${b}',file:MARK,mode:w}", "+a=builtins", "+b=open"],
        "callbacks.evil: builtins.open",
    ),
    "by an interpolated node": ([f"+hidden={OPEN}", "+callbacks.evil=${hidden}"], "callbacks.evil: builtins.open"),
    "by a key that a folder's name chooses": (
        ["+callbacks.evil={_target_:'${z.${folder}}',file:MARK,mode:w}", "+z={FOLDER:builtins.open}"],
        "callbacks.evil: builtins.open",
    ),
    "by a resolver": (
        ["+callbacks.evil={_target_:\"${oc.decode:builtins.open}\",file:MARK,mode:w}"],
        "calls a resolver",
    ),
    "by a resolver that an interpolation names": (
        ["+callbacks.evil={_target_:\"${${r}:builtins.open}\",file:MARK,mode:w}", "+r=oc.decode"],
        "calls a resolver",
    ),
    "by an environment variable": (["+callbacks.log.secret=${oc.env:HOME}"], "calls a resolver"),
    "by an interpolation that is read twice": (
        [r"+callbacks.evil={_target_:'\${hidden}',file:MARK,mode:w}", "+hidden=builtins.open"],
        "hides an interpolation",
    ),
    "by get_method": (
        ["shape._target_=hydra.utils.get_method", "+shape.path=os.system"],
        "shape: os.system",
    ),
    "by get_object": (
        ["shape._target_=hydra.utils.get_object", "+shape.path=os.system"],
        "shape: hydra.utils.get_object",
    ),
    "by instantiate itself": (
        [f"+callbacks.evil={{_target_:hydra.utils.instantiate,_recursive_:false,config:{OPEN}}}"],
        "callbacks.evil: hydra.utils.instantiate",
    ),
    "through Kairos's own composition": (
        [
            "+callbacks.evil={_target_:kairos.compose.build,overrides:"
            f"['policy=toy','data=toy','template=answer','+callbacks.e={OPEN}']}}"
        ],
        "callbacks.evil: kairos.compose.build",
    ),
    "through a module that Kairos imports": (
        ["+callbacks.evil={_target_:kairos.runs.folder.shutil.copy,src:FOLDER/config.yaml,dst:MARK}"],
        "callbacks.evil: kairos.runs.folder.shutil.copy",
    ),
    "through a function of Kairos that writes": (
        ["+callbacks.evil={_target_:kairos.core.files.write_whole,path:{_target_:pathlib.Path,_args_:[MARK]},content:x}"],
        "callbacks.evil: kairos.core.files.write_whole",
    ),
    "through a module that Lightning imports": (
        ["+logger.evil={_target_:lightning.pytorch.loggers.csv_logs.os.mkdir,path:MARK}"],
        "logger.evil: lightning.pytorch.loggers.csv_logs.os.mkdir",
    ),
    "from a search path": (["hydra.searchpath=[file://FOLDER/conf]", "+experiment=evil"], "changes Hydra itself"),
    "from a package of options": (["hydra.searchpath=[pkg://evil_package]"], "changes Hydra itself"),
    "by Hydra's own callbacks": ([f"+hydra.callbacks.evil={OPEN}"], "changes Hydra itself"),
    "from an option beside conf": (["experiment=UP/conf/experiment/evil"], "from outside the configuration"),
    "from an option that an interpolation names": (
        ["experiment=${name}", "name=UP/conf/experiment/evil"],
        "from outside the configuration",
    ),
}  # fmt: skip
HYDRA_REFUSES = {
    "by an environment variable", "by get_method", "by get_object", "from a search path",
    "by Hydra's own callbacks", "by an interpolation that is read twice", "from a package of options",
    "from an option that an interpolation names",
}  # fmt: skip
"""Escapes that make no file here even where they are accepted, or that stop earlier."""


@cache
def toy_config() -> str:
    return yaml.safe_dump(resolved(compose([*TOY, "iterations=2"])))


def stranger(folder: Path, overrides: list[str]) -> RunFolder:
    """A begun run, as anybody can write it."""
    folder.mkdir(parents=True)
    mark, up = folder.parent / "mark", os.path.relpath(folder, Path(CONF).resolve() / "experiment")
    written = [
        override.replace("MARK", str(mark)).replace("FOLDER", str(folder)).replace("UP", up) for override in overrides
    ]
    (folder / "config.yaml").write_text(toy_config())
    (folder / "overrides.yaml").write_text(yaml.safe_dump([*TOY, "iterations=2", *written]))
    (folder / "hubconf.py").write_text(f"open({str(mark)!r}, 'w')\ndef evil():\n    return None\n")
    (folder / "evil_package").mkdir()
    (folder / "evil_package" / "__init__.py").write_text(f"open({str(mark)!r}, 'w')\n")
    option = folder / "conf" / "experiment" / "evil.yaml"
    option.parent.mkdir(parents=True)
    option.write_text(
        f"# @package _global_\ncallbacks: {{evil: {OPEN.replace(':', ': ').replace('MARK', str(mark))}}}\n"
    )
    return RunFolder(folder)


@pytest.mark.parametrize("how", ESCAPES)
def test_no_escape_is_built_and_the_error_names_it(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    overrides, named = ESCAPES[how]
    run = stranger(tmp_path / "run", overrides)
    monkeypatch.syspath_prepend(str(run.path))
    with pytest.raises(RunError) as refused:
        compose_stored(run)
    said = str(refused.value)
    assert named in said and "overrides.yaml" in said and "trust=true" in said and "--config-dir" in said
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("how", [how for how in ESCAPES if how not in HYDRA_REFUSES])
def test_every_escape_is_one(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Where it is accepted, it runs: the tests above would see it. What is accepted is said."""
    overrides, named = ESCAPES[how]
    run = stranger(tmp_path / "run", overrides)
    monkeypatch.syspath_prepend(str(run.path))
    try:
        assemble(compose_stored(run, trust=True), folder=run.path)
    except Exception as error:  # noqa: BLE001 - what it is made into may fail after it ran
        del error
    assert (tmp_path / "mark").exists()
    said = capsys.readouterr().out
    assert "trust=true accepts" in said and named in said


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("train", ["iterations=3"]),
        ("evaluate", ["count=2"]),
        ("evaluate", ["templates=[answer,think]"]),
        ("export", ["output=out"]),
        ("agent_curves", []),
        ("plan", []),
        ("ground", ["video=v.mp4", "query=when"]),
        ("pick_frames", ["sampler=uniform", "split=val", "output=picks.json"]),
    ],
)
def test_no_script_runs_what_a_folder_brings(
    name: str, arguments: list[str], script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    run = stranger(tmp_path / "run", [f"+callbacks.evil={OPEN}", f"+datamodule.evil={OPEN}"])
    (tmp_path / "v.mp4").touch()  # ground looks for it first
    before = sorted(path.name for path in run.path.rglob("*"))
    assert script(name, "run=run", *arguments) == 1
    said = capfd.readouterr().err
    assert "callbacks.evil: builtins.open" in said and "datamodule.evil: builtins.open" in said, said
    assert "Traceback" not in said and "say trust=true" in said
    assert not (tmp_path / "mark").exists() and sorted(path.name for path in run.path.rglob("*")) == before


def test_there_is_one_way_from_stored_overrides_to_objects(repository: Path):
    """`train.py` writes them back when a run goes on, and composes them by `compose_stored` like the others.

    `own_cells.py` compares them with a table's rows, as text.
    """
    files = [*(repository / "scripts").glob("*.py"), *(repository / "src").rglob("*.py")]
    users = {path.name for path in files if ".overrides()" in path.read_text()}
    assert users == {"stored.py", "train.py", "own_cells.py"}, (
        "compose what a folder stores by kairos.stored.compose_stored"
    )


def test_a_number_of_frames_is_no_way_around(script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """`pick_frames.py` makes an override of it, as if the user had typed that."""
    run = stranger(tmp_path / "run", [])
    tree = run.config()
    tree["sampling"]["max_actions"] = "{_target_:builtins.open}"  # type: ignore[index]
    (run.path / "config.yaml").write_text(yaml.safe_dump(tree))
    assert script("pick_frames", "run=run", "sampler=uniform", "split=val", "output=picks.json") == 1
    assert "sampling.max_actions must be a number of frames" in capfd.readouterr().err


def test_a_name_that_writes_to_the_terminal_is_shown_and_not_obeyed(tmp_path: Path):
    run = stranger(tmp_path / "run", ["+callbacks.evil={_target_:builtins.open,file:'\x1b[2Ja\nb'}"])
    with pytest.raises(RunError) as refused:
        compose_stored(run)
    assert "\x1b" not in str(refused.value) and "builtins.open" in str(refused.value)


def test_what_the_user_typed_is_his_own(script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    part = (
        "+reward.terms.mine={_target_:kairos.credit.rewards.rubric.Weighted,term:{_target_:decimal.Decimal},weight:0}"
    )
    run = stranger(tmp_path / "run", [part])
    with pytest.raises(RunError, match=r"reward\.terms\.mine\.term: decimal\.Decimal"):
        compose_stored(run)
    assert compose_stored(run, [part.replace("+", "++", 1)]).reward.terms.mine.term._target_ == "decimal.Decimal"
    with pytest.raises(RunError, match="decimal"):
        compose_stored(run, ["run='a,_target_=decimal.Decimal'"])
    assert "decimal.Decimal" not in Trusted.given(Path(CONF), ["run='a,_target_=decimal.Decimal'"]).names


def test_options_and_packages_of_the_users_own_are_trusted_where_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mine = tmp_path / "mine"
    (mine / "shape").mkdir(parents=True)
    (mine / "shape" / "halved.yaml").write_text("_target_: hydra.utils.get_method\npath: elsewhere.halved\n")
    (mine / "parts_of_mine.py").write_text("def Doubled():\n    return lambda values_G: 2 * values_G\n")
    (mine / "json.py").write_text("")
    run = stranger(tmp_path / "run", ["shape._target_=parts_of_mine.Doubled", "+a={_target_:json.loads,s:'1'}"])
    with pytest.raises(RunError, match=r"(?s)shape: parts_of_mine\.Doubled.*a: json\.loads"):
        compose_stored(run)
    monkeypatch.syspath_prepend(str(mine))
    with pytest.raises(RunError, match=r"a: json\.loads") as refused:
        compose_stored(run, ["~a"][:0], str(mine))
    assert "parts_of_mine" not in str(refused.value), "a package below the user's --config-dir"
    assert compose_stored(run, ["~a"], str(mine)).shape._target_ == "parts_of_mine.Doubled"
    trusted = Trusted.given(Path(CONF), (), str(mine))
    assert trusted.allows("elsewhere.halved") and not trusted.allows("elsewhere.other")


def test_the_error_says_where_parts_of_ones_own_were(tmp_path: Path):
    run = stranger(tmp_path / "run", ["shape._target_=mine.Shape"])
    (run.path / "environment.yaml").write_text("config_dir: /mine/conf\npython_path: [/mine]\n")
    with pytest.raises(
        RunError, match=r"began with PYTHONPATH=/mine --config-dir /mine/conf: .* if those folders are y"
    ):
        compose_stored(run)


def test_parts_of_kairos_are_trusted_and_what_it_calls_is_not():
    trusted = Trusted.given(Path(CONF))
    parts = ["kairos.policy.frame_agent.choice.PlackettLuce", "kairos.data.mixture.mixed", "lightning.Trainer"]
    assert all(trusted.allows(name) for name in parts)
    no_parts = [
        "kairos.compose.train", "kairos.compose.part", "kairos.train.feed.parcel._Unpickler", "kairos.core.files.os",
        "kairos.video.decoding.guard.Guard", "kairos.policy.frame_agent.choice.PlackettLuce.__init__", "kairos",
        "kairos..os", "kairos.credit.shapes.Tensor", "kairos/../os.system", " builtins.open", "", "hydra.utils.call",
        "hydra_plugins.kairos_torchrun.failed_jobs.FailedJobs",
    ]  # fmt: skip
    assert not [name for name in no_parts if trusted.allows(name)]
    assert not [name for name in LIBRARIES if "." not in name]


def test_what_is_built_is_what_was_checked(tmp_path: Path):
    """No interpolation is left, which might give another value later."""
    run = stranger(tmp_path / "run", ["shape=log_exp"])
    config = compose_stored(run)
    assert resolved(config) == resolved(compose([*run.overrides(), f"folder={run.path}"]))
    assert "${" not in yaml.safe_dump(resolved(config)) and config._get_node("module") is not None
    assert assemble(config, folder=run.path).folder == run.path


@pytest.mark.parametrize("name", ["config.yaml", "overrides.yaml"])
def test_a_few_lines_that_stand_for_a_billion_are_refused(name: str, tmp_path: Path):
    run = stranger(tmp_path / "run", [])
    lines = ["a0: &a0 [x, x]", *(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]" for i in range(12))]
    (run.path / name).write_text("\n".join(lines))
    for read in (run.overrides, run.outdated):
        with pytest.raises(RunError, match=rf"(?s){name} cannot be read: an alias below an anchor.*line 2"):
            read()
    (run.path / name).write_text("[" * 100_000)
    with pytest.raises(RunError, match=f"{name} cannot be read"):
        run.overrides()
    (run.path / name).write_bytes(b"\xff: [")
    with pytest.raises(BrokenFile, match=rf"{name}, line 1: not UTF-8"):
        run.overrides()


class Evil:
    """Unpickling one makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.mark, "w")


@pytest.mark.parametrize("name", ["train", "evaluate", "export"])
def test_a_pickle_in_a_checkpoint_is_not_loaded(
    name: str, script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    run = stranger(tmp_path / "run", [])
    run.checkpoints.mkdir()
    torch.save({"state_dict": {}, "evil": Evil(tmp_path / "mark")}, run.checkpoints / "iteration-000001.ckpt")
    assert script(name, "run=run", *(["output=out"] if name == "export" else [])) == 1
    assert "iteration-000001.ckpt" in capfd.readouterr().err
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("overrides", ["3", "a: 1", "[[1]]", "- a: 1\n- b=2"])
def test_overrides_that_are_none_are_an_error_of_their_file(overrides: str, tmp_path: Path):
    run = stranger(tmp_path / "run", [])
    (run.path / "overrides.yaml").write_text(overrides)
    with pytest.raises(RunError, match=r"overrides\.yaml must be a list of overrides"):
        compose_stored(run)


def test_a_model_folder_brings_no_code(tmp_path: Path):
    from transformers import Qwen3VLForConditionalGeneration

    from kairos.policy.models.pretrained import pretrained
    from kairos.policy.models.weights import locate
    from kairos.policy.processor import LanguageProcessor

    folder = tmp_path / "model"
    folder.mkdir()
    source = Path(locate("mini_base").base)
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\n")
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer |= {"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}, "tokenizer_class": "Evil"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}
    (folder / "config.json").write_text(json.dumps(config))
    assert pretrained(Qwen3VLForConditionalGeneration, locate(str(folder)).base)
    try:
        assert LanguageProcessor(str(folder)).loaded is not None
    except ValueError as error:
        assert "custom code" in str(error)
    assert not (tmp_path / "mark").exists()
    config["text_config"]["_attn_implementation"] = "evil/kernels"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json names kernels .* _attn_implementation: 'evil/kernels'"):
        locate(str(folder))
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "evil/model"}')
    with pytest.raises(ValueError, match="holds an adapter over 'evil/model'"):
        locate(str(folder))
