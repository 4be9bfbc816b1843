"""Every option composes and builds without network, and the priority of the four places is what the plan says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf

from kairos.cli import UserError as Told
from kairos.cli import user_errors
from kairos.compose import CONF, assemble, compose, part, resolved, wording
from kairos.core.types import Sampling
from kairos.credit.rewards.grounding import TimestampAwareIoU
from kairos.runs.names import job_folder, job_name, run_folder, short_name
from kairos.train.grpo import GRPOModule

OPTIONS = sorted(
    (path.parent.name, path.stem)
    for path in Path(CONF).glob("*/*.yaml")
    if path.stem not in ("mini_val", "needle_dataset", "prompt_dataset", "shown")  # parts of other options
    and path.parent.name not in ("as", "convention", "table")  # of commands that build no run, and of evaluations
    and (path.stem == "vue_tr" or "BenchmarkWording" not in path.read_text())  # test_benchmark_wordings builds them all
)


MINE = {
    "sampling/mine.yaml": """
defaults: [default]
max_actions: 1
group_size: 1
temperature: 0.1
top_k: 1
""",
    "method/mine.yaml": """
# @package _global_
defaults:
  - override /template: timezero
  - override /gate: minimum_spread
sampling: {max_actions: 2, group_size: 2, temperature: 0.2}
prompts: 2
iterations: 2
""",
    "experiment/mine.yaml": """
# @package _global_
defaults:
  - override /method: mine
  - override /template: answer
sampling: {max_actions: 3, group_size: 3}
prompts: 3
""",
}


FILES = {
    **{("sampler", path.stem): ["shown_frames=8"] for path in (Path(CONF) / "sampler").glob("*.yaml")},
    ("sampler", "agent"): ["shown_frames=8", "agent=runs/agent"],
    ("sampler", "file"): ["shown_frames=8", "picks=picks.json"],
    ("frame_scores", "agent"): ["sampler=bin_max", "shown_frames=8", "agent=runs/agent"],
    ("frame_scores", "cosine"): ["sampler=bin_max", "shown_frames=8"],
    ("answerer", "hf"): ["answerer.model=folder"],
    ("rollout", "frame_sets"): ["policy=frame_agent", "answerer=mini"],
    ("references", "teacher"): ["references.teacher.policy.weights=mini_base"],
    ("curriculum", "selection"): ["curriculum.selection=prompts.json"],
    ("data", "activitynet"): ["data.annotations=annotations", "data.videos=videos"],
    ("data", "charades"): ["data.annotations=annotations", "data.videos=videos"],
    ("data", "jsonl"): ["data.annotations=annotations.jsonl"],
    ("data", "mixture"): ["+data@data.parts.mine=jsonl", "data.parts.mine.annotations=annotations.jsonl"],
    ("data", "multiple_choice"): ["data.annotations=annotations.json", "data.videos=videos"],
    ("data", "nextgqa"): ["data.annotations=annotations", "data.videos=videos"],
    ("data", "qvhighlights"): ["data.annotations=annotations", "data.videos=videos"],
    ("data", "tempsamp"): ["data.annotations=annotations.jsonl", "data.videos=videos"],
    ("data", "temporal_r1"): ["data.annotations=tvg.yaml"],
    ("data", "time_r1"): ["data.annotations=train_2k5.json", "data.videos=videos"],
    ("data", "timelens"): ["data.annotations=annotations.jsonl", "data.videos=videos"],
    ("data", "tspo_10k"): ["data.annotations=TSPO_10k.jsonl", "data.videos=videos"],
    ("method", "tspo"): ["answerer=mini"],
    ("data", "timezero"): ["data.annotations=annotations.json", "data.videos=videos"],
}
PAPER_SCALE = [
    "temporal_r1_charades_3b", "tempsamp_charades_7b", "tempsamp_timelens_4b", "time_r1_timerft_7b",
    "timezero_activitynet_7b", "timezero_charades_7b", "tspo_10k",
]  # fmt: skip
FILES |= {
    ("experiment", name): ["data.annotations=annotations", "data.videos=videos", "trainer.accelerator=cpu"]
    for name in PAPER_SCALE
}

FILES[("strategy", "hsdp")] = ["trainer.devices=4", "trainer.accelerator=cpu"]
PACKAGES = {("logger", "tensorboard"): "tensorboardX", ("logger", "mlflow"): "mlflow"}
"""Of options that need one which is not always there."""
ROOTS = {"selector": "select_prompts"}
"""Groups that belong to another root than train.yaml."""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of nothing: relative paths of the configuration lead nowhere."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_options_to_try():
    assert len(OPTIONS) > 50
    assert {"policy", "data", "reward", "method", "experiment", "strategy", "logger"} <= {group for group, _ in OPTIONS}


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda part: part)
def test_every_option_composes_and_builds(group: str, option: str, workplace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    if (group, option) in PACKAGES:
        pytest.importorskip(PACKAGES[group, option], reason=f"{group}={option} needs the extra {option}")
    overrides = [f"{group}={option}", f"name={group}-{option}"]
    config = compose([*overrides, *needs(group, option)], name=ROOTS.get(group, "train"))
    resolved(config)
    assert not missing(config), "a mandatory value has no value"
    built = assemble(config, overrides)
    assert isinstance(built.module, GRPOModule)
    assert isinstance(built.module.sampling, Sampling)
    assert list(built.trainer.callbacks), "callbacks are built"  # type: ignore[attr-defined]
    assert wording(config)
    assert not built.datamodule._sets, "data are rendered, opened or downloaded only when somebody asks for them"
    found = {path.name for path in workplace.rglob("*")} - {"wandb", "runs", f"{group}-{option}"}
    assert group == "logger" or not found, "building a configuration writes nothing"


def needs(group: str, option: str) -> list[str]:
    """No machine of the tests has a GPU, and the experiments that want one are built for the CPU; files to be named."""
    if (group, option) in FILES:
        return FILES[group, option]
    if group == "data" and "annotations: ???" in (Path(CONF) / group / f"{option}.yaml").read_text():
        return ["data.annotations=annotations", "data.videos=videos"]
    return ["trainer.accelerator=cpu"] if group in ("trainer", "experiment") else []


def missing(config: DictConfig) -> set[str]:
    return OmegaConf.missing_keys(config)


@pytest.mark.parametrize("option", sorted(path.stem for path in (Path(CONF) / "as").glob("*.yaml")))
def test_every_form_of_an_export_composes_and_builds(option: str):
    assert callable(part(compose([f"as={option}", "run=a", "output=b"], name="export")["as"]))


def test_a_data_option_that_spells_out_what_prompts_need_is_the_same(workplace: Path):
    """As options were written before `prompt_dataset`, a user's perhaps still."""
    long = yaml.safe_load((Path(CONF) / "data" / "jsonl.yaml").read_text())
    del long["defaults"]
    for split in ("train", "val"):
        long[split] |= {"_target_": "kairos.data.dataset.PromptDataset", "_partial_": True}
        long[split] |= {name: f"${{{name}}}" for name in ("loader", "template", "processor", "enrich")}
    (workplace / "data").mkdir()
    (workplace / "data" / "long.yaml").write_text(yaml.safe_dump(long))
    file = "data.annotations=a.jsonl"
    assert (
        resolved(compose(["data=long", file], str(workplace)))["datamodule"]
        == resolved(compose(["data=jsonl", file]))["datamodule"]
    )


def test_what_prompts_need_is_written_once():
    assert [
        path.stem for path in Path(CONF).rglob("*.yaml") if "kairos.data.dataset.PromptDataset" in path.read_text()
    ] == ["prompt_dataset"]


def test_the_command_line_goes_before_experiment_before_method_before_option(workplace: Path):
    conf = workplace / "conf"
    for name, text in MINE.items():
        (conf / name).parent.mkdir(parents=True, exist_ok=True)
        (conf / name).write_text(text.lstrip())
    config = compose(["experiment=mine", "sampling=mine", "sampling.max_actions=4"], str(conf))
    assert config.sampling.max_actions == 4, "command line"
    assert config.sampling.group_size == config.prompts == 3, "experiment before method"
    assert config.sampling.temperature == 0.2 and config.iterations == 2, "method before option and train.yaml"
    assert config.sampling.top_k == 1, "option before its defaults"
    assert config.template._target_.endswith("AnswerOnly"), "an experiment's choice before a method's"
    assert config.gate._target_.endswith("MinimumSpread"), "a method's choice before train.yaml's"
    chosen = compose(["experiment=mine", "template=think", "gate=none", "method=sft"], str(conf))
    assert chosen.template._target_.endswith("Think") and chosen.gate._target_.endswith("NoGate")
    assert chosen.rollout._target_.endswith("Annotations"), "the command line's method before the experiment's"
    assert chosen.sampling.group_size == 3


def test_the_shipped_experiments_choose_their_template():
    assert compose(["experiment=quickstart"]).template._target_.endswith("AnswerOnly")
    assert compose(["experiment=quickstart", "template=think"]).template._target_.endswith("Think")
    assert compose(["method=time_r1", "policy=qwen2_5_vl_3b"]).template._target_.endswith("TimeR1Think")


def test_a_policy_brings_what_its_size_wants_before_the_method():
    mini = compose(["method=time_r1"])
    assert mini.template._target_.endswith("AnswerOnly") and mini.frames.max_pixels == 4096
    assert (mini.sampling.max_actions, mini.optimizer.learning_rate) == (16, 1e-4)
    said = compose(["method=time_r1", "template=time_r1", "sampling.max_actions=200", "frames=mini_candidates"])
    assert said.template._target_.endswith("TimeR1Think") and said.sampling.max_actions == 200
    assert said.frames.max_frames == 128, "the command line before the policy"
    large = compose(["policy=qwen3_vl_4b", "data=toy"])
    assert large.frames.total_pixels == 14336 * 32 * 32 and large.sampling.max_actions == 1024
    assert compose(["policy=qwen2_5_vl_7b"]).frames.factor == 28


def test_no_node_of_a_configuration_reaches_an_object():
    """`_convert_="all"`: parts hold lists and dicts, not OmegaConf's."""
    built = assemble(compose(["policy=toy", "data=toy"]), [])
    seen: set[int] = set()

    def walk(value: object, path: str, depth: int) -> None:
        assert not isinstance(value, DictConfig | ListConfig), path
        if id(value) in seen or depth > 6 or isinstance(value, str | int | float | type(None)):
            return
        seen.add(id(value))
        if isinstance(value, dict):
            for name, branch in value.items():
                walk(branch, f"{path}.{name}", depth + 1)
        elif isinstance(value, list | tuple | set):
            for branch in value:
                walk(branch, f"{path}[]", depth + 1)
        elif type(value).__module__.startswith("kairos."):
            for name, branch in vars(value).items():
                walk(branch, f"{path}.{name}", depth + 1)

    walk(built.module.__dict__, "module", 0)
    walk(built.datamodule.__dict__, "datamodule", 0)
    walk(built.trainer.callbacks, "callbacks", 0)  # type: ignore[attr-defined]


def test_whether_tiou_is_clamped_is_a_value_of_the_option_itself():
    """Read from a top-level key that only score.yaml had, it could not be chosen in a training run."""
    for root in ("train", "score"):
        config = compose(["reward=tiou_format"], name=root)
        assert OmegaConf.to_container(config.reward.terms.tiou.term)["clamp"] is True, root  # type: ignore[call-overload, index]
        assert "clamp" not in config, root
    free = assemble(compose(["policy=toy", "reward=tiou_format", "reward.terms.tiou.term.clamp=false"]), [])
    assert free.module.reward.terms["tiou"].term == TimestampAwareIoU(clamp=False)  # type: ignore[attr-defined]


def test_an_nn_module_is_referred_to_in_one_place():
    """Hydra builds an interpolated node once per use, so a second use would be a second model."""
    raw = OmegaConf.to_yaml(OmegaConf.load(Path(CONF) / "train.yaml"))
    assert raw.count("${policy}") == 1


def test_a_wrong_value_is_one_clear_line():
    with (
        pytest.raises(Told, match=r"^error: sampling.temperature must be >= 0 \(0 is greedy\), got -1$"),
        user_errors(),
    ):
        assemble(compose(["policy=toy", "data=toy", "sampling.temperature=-1"]), [])
    with pytest.raises(Told, match="16 prompts are fewer than one step"), user_errors():
        built = assemble(compose(["policy=toy", "data=toy", "prompts=99", "callbacks.progress=null"]), [])
        built.trainer.fit(built.module, built.datamodule)


def test_an_unexpected_error_keeps_its_stack_trace():
    with pytest.raises(ZeroDivisionError), user_errors():
        raise ZeroDivisionError
    with pytest.raises(InstantiationException, match="lacking"), user_errors():
        assemble(compose(["policy=toy", "data=toy", "gate._target_=kairos.credit.gates.lacking"]), [])


def test_the_same_overrides_are_the_same_folder(tmp_path: Path):
    """Short names that need no quotes; a folder of the name that older versions gave is found again."""
    given = ["b=2", "a=1", "trainer=gpu", "overwrite=true", "strategy=ddp"]
    assert short_name(given) == short_name(["strategy=ddp", "a=1", "b=2"]) != short_name(["strategy=ddp", "a=1"])
    assert re.fullmatch(r"timezero-mini-[0-9a-f]{6}", short_name([]))
    assert short_name(["experiment=timezero_charades_7b"]).startswith("timezero-charades-")
    assert short_name(["experiment=mine/of_my_own"]).startswith("mine_of_my_own-")
    long = job_name([f"key{i}=value" for i in range(60)])
    assert len(long) < 70 and long != job_name([f"key{i}=value" for i in range(61)])
    job = job_name(["data.weights={a: 2}", "policy.weights=runs/a/b", "seed=0", "+x.y=[1, 2]"], ["data.weights"])
    assert re.fullmatch(r"y_1_2-b-seed0-[0-9a-f]{6}", job), job
    older = tmp_path / "a=1,b=2"
    assert run_folder(None, None, ["b=2", "a=1"], tmp_path).parent == tmp_path != older
    older.mkdir()
    assert run_folder(None, None, ["b=2", "a=1"], tmp_path) == job_folder(tmp_path, ["b=2", "a=1"]) == older
