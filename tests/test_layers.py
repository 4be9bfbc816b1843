"""Holds the plan of the house: who may import whom, where heavy packages live, where a paper's name may stand."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A room may import any room of an earlier line, and never one of its own line.
ARROWS = ["core", "progress"], ["credit", "objective", "curriculum"], ["video"], ["data", "policy"], \
    ["rollout", "evaluation"], ["runs"], ["train", "report"], ["options"], ["compose"], ["stored", "doctor"], \
    ["asking"], ["asking_page"], \
    ["command_line"], ["cli"], ["commands"], ["entry"], \
    ["hydra_plugins", "__main__", "lmms_plugin", "scripts", "notebooks", "benchmarks"]  # fmt: skip
FRONT = "asking"  # what the package's own `__init__` imports, when it is asked for it
RANK = {room: rank for rank, rooms in enumerate(ARROWS) for room in rooms}
# The same inside `policy`, where a room is a folder or a file, and those of `network` are rooms of their own.
POLICY_ARROWS = ["kernels", "segments", "layouts", "special_tokens", "towers"], ["attention", "delta_net"], \
    ["vision", "text"], ["family"], ["models"], ["families"], ["processor", "embedding"], ["memory"], ["speed"], \
    ["scoring", "sampling"], ["reference"], ["language", "frame_agent", "toy"], ["answering"], ["paths"]  # fmt: skip
POLICY_RANK = {room: rank for rank, rooms in enumerate(POLICY_ARROWS) for room in rooms}
QUARANTINE = {
    "vllm": ["src/kairos/rollout/vllm/", "benchmarks/rollout.py"],
    "decord": ["src/kairos/video/", "benchmarks/"],  # benchmarks measure against bare decord
    "lightning": ["src/kairos/train/", "benchmarks/checkpoint.py"],
    "pytorch_lightning": [],
    "lmms_eval": ["src/kairos/lmms_plugin.py"],
    "hydra": [
        "src/kairos/commands/",
        "src/hydra_plugins/",
        "src/kairos/options/",
        "src/kairos/compose.py",
        "src/kairos/command_line.py",
        "src/kairos/cli.py",
    ],
}
LIGHT = {"core", "credit", "objective", "curriculum"}
PAPER = re.compile("timezero|time_?r1|temporal_?r1|temp_?samp|tspo", re.IGNORECASE)
PAPERS_MAY_STAND = ("conf/", "src/kairos/data/", "benchmarks/", "tests/", "notebooks/", "results/")

FILES = sorted(path for top in ("src", "scripts", "benchmarks") for path in (ROOT / top).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str | None:
    """The room a file belongs to; None for the package's own `__init__`, which may import only `FRONT`."""
    parts = path.relative_to(ROOT).parts
    if parts[0] != "src":
        return parts[0]
    inside = parts[2:] if parts[1] == "kairos" else parts[1:]
    return None if inside[0] == "__init__.py" else inside[0].removesuffix(".py")


def policy_room_of(name: str) -> str | None:
    """The room of policy that a dotted name lies in; None for other packages and for policy's own `__init__`."""
    parts = name.removeprefix("kairos.policy.").removeprefix("network.").split(".")
    return parts[0] if name.startswith("kairos.policy.") and parts[0] != "network" else None


def module_of(path: Path) -> str:
    """The dotted name of a file, a package's `__init__` under the package's."""
    start = ROOT / "src" if path.is_relative_to(ROOT / "src") else ROOT
    parts = path.relative_to(start).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, tree: ast.Module) -> Iterator[str]:
    """Absolute dotted names of everything a file imports: lazily, relatively and for type hints too."""
    package = path.relative_to(ROOT / "src").with_suffix("").parts[:-1] if path.is_relative_to(ROOT / "src") else ()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


class NamesForHints(ast.NodeTransformer):
    """Takes `if TYPE_CHECKING:` blocks out: what they import is never loaded, so it needs no quarantine."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        return node.orelse if ast.unparse(node.test).endswith("TYPE_CHECKING") else self.generic_visit(node)


def complaints_about_imports(path: Path, source: str) -> list[str]:
    """Every import of a file that the plan forbids."""
    room, found, tree = room_of(path), [], ast.parse(source)
    for imported in imports_of(path, tree):
        top, _, rest = imported.partition(".")
        other = rest.partition(".")[0] if top == "kairos" else top if top in ARROWS[-1] else None
        forbidden = other != FRONT if room is None else other in RANK and RANK[other] >= RANK[room]
        if other in RANK and other != room and forbidden:
            found.append(f"{name_of(path)} imports {imported}: {other} is not to the left of {room}")
        here, there = policy_room_of(module_of(path)), policy_room_of(imported)
        if here and there and here != there and POLICY_RANK.get(there, 99) >= POLICY_RANK.get(here, -1):
            found.append(f"{name_of(path)} imports {imported}: inside policy, {there} is not to the left of {here}")
        if room in LIGHT and top not in {"torch", "numpy", "kairos", *sys.stdlib_module_names}:
            found.append(f"{name_of(path)} imports {imported}: {room} imports torch and numpy only")
    for imported in imports_of(path, NamesForHints().visit(tree)):
        top = imported.partition(".")[0]
        if top in QUARANTINE and not name_of(path).startswith(tuple(QUARANTINE[top]) or "\0"):
            found.append(f"{name_of(path)} imports {imported}: {top} only in {QUARANTINE[top]}")
    return found


def circle(sources: Mapping[Path, str]) -> list[str]:
    """Files that import one another, directly or through others, imports for type hints included; empty: none do."""
    files = {module_of(path): path for path in sources if room_of(path)}  # the package's `__init__` imports when asked
    graph = {}
    for module, path in files.items():
        named = [name for name in imports_of(path, ast.parse(sources[path])) if name.startswith("kairos")]
        graph[module] = {name if name in files else name.rpartition(".")[0] for name in named} & set(files) - {module}
    while ends := [m for m in graph if not graph[m] or not any(m in needs for needs in graph.values())]:
        graph = {module: needs - set(ends) for module, needs in graph.items() if module not in ends}
    return sorted(graph)


def identifiers_of(tree: ast.Module) -> Iterator[str]:
    fields = {"name", "id", "attr", "arg", "asname", "names", "module", "rest"}
    for node in ast.walk(tree):
        for field in fields & set(node._fields):
            value = getattr(node, field)
            yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str))


def conditions_of(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert):
            yield node.test
        elif isinstance(node, ast.comprehension):
            yield from node.ifs
        elif isinstance(node, ast.match_case):
            yield from (part for part in (node.pattern, node.guard) if part is not None)


def complaints_about_papers(path: Path, source: str) -> list[str]:
    """Paper names in a file's path and identifiers, where they do not belong, and in conditions anywhere."""
    tree, name, found = ast.parse(source), name_of(path), []
    if not name.startswith(PAPERS_MAY_STAND):
        found += [f"{name}: named after a paper"] if PAPER.search(name) else []
        found += [f"{name}: identifier {word}" for word in identifiers_of(tree) if PAPER.search(word)]
    found += [
        f"{name}: a paper's name in the condition `{text}`"
        for text in map(ast.unparse, conditions_of(tree))
        if PAPER.search(text)
    ]
    return found


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: no list of tracked files")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_every_room_is_in_the_plan():
    rooms = {room_of(path) for path in FILES} - {None}
    assert rooms <= set(RANK), f"rooms without a place among the arrows: {sorted(rooms - set(RANK))}"


def test_every_room_of_policy_is_in_the_plan():
    rooms = {policy_room_of(module_of(path)) for path in FILES} - {None}
    assert rooms == set(POLICY_RANK), f"rooms and plan differ: {sorted(rooms ^ set(POLICY_RANK))}"


def test_no_circle_of_files():
    assert not circle({path: path.read_text() for path in FILES if path.is_relative_to(ROOT / "src" / "kairos")})


@pytest.mark.parametrize(
    "source", ["from kairos.core.types import Prompt", "if TYPE_CHECKING:\n    from kairos.core import types"]
)
def test_a_circle_of_files_is_noticed(source: str):
    core = ROOT / "src" / "kairos" / "core"
    sources = {
        core / "types.py": "from kairos.core.answers import Answer",
        core / "answers.py": "from kairos.core.spans import Span",
        core / "spans.py": source,
        core / "protocols.py": "from kairos.core.types import Prompt",
    }
    assert circle(sources) == ["kairos.core.answers", "kairos.core.spans", "kairos.core.types"]
    assert not circle({**sources, core / "spans.py": "import kairos.core.seeds"})


def test_imports_follow_the_arrows_and_heavy_packages_stay_in_quarantine():
    assert len(FILES) > 20
    assert not [line for path in FILES for line in complaints_about_imports(path, path.read_text())]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("src/kairos/core/types.py", "from kairos.credit import shapes"),
        ("src/kairos/credit/shapes.py", "import kairos.objective.terms"),
        ("src/kairos/credit/shapes.py", "def f():\n    from ..video import loader"),
        ("src/kairos/credit/shapes.py", "import pandas"),
        ("src/kairos/__init__.py", "from kairos.core import types"),
        ("src/kairos/report/run_page/page.py", "from kairos import train"),
        ("src/kairos/data/readers/jsonl.py", "import decord"),
        ("src/kairos/data/readers/jsonl.py", "import importlib\nimportlib.import_module('decord')"),
        ("src/kairos/policy/toy.py", "from lightning.pytorch import Trainer"),
        ("src/kairos/rollout/live.py", "from vllm import LLM"),
        ("src/kairos/train/grpo.py", "from hydra.utils import instantiate"),
        ("src/kairos/compose.py", "import scripts.train"),
        ("src/kairos/compose.py", "from lightning import Trainer"),
        ("src/kairos/compose.py", "from kairos.cli import command"),
        ("src/kairos/runs/names.py", "from omegaconf import DictConfig\nimport hydra"),
        ("src/kairos/core/types.py", "if TYPE_CHECKING:\n    from kairos.data.records import Record"),
        ("src/kairos/policy/network/vision/patches.py", "from kairos.policy.family import Family"),
        (
            "src/kairos/policy/network/text/layers.py",
            "from kairos.policy.network.vision.attention import WithinSegments",
        ),
        ("src/kairos/policy/memory/sizes.py", "from kairos.policy import language"),
        ("src/kairos/policy/scoring/packing.py", "from ..sampling.draw import draw"),
        (
            "src/kairos/policy/network/kernels/launch.py",
            "if TYPE_CHECKING:\n    from kairos.policy.network.segments import Segments",
        ),
    ],
)
def test_a_forbidden_import_is_noticed(file: str, source: str):
    assert complaints_about_imports(ROOT / file, source)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("src/kairos/compose.py", "import hydra\nfrom kairos.train.grpo import GRPOModule"),
        ("src/kairos/compose.py", "if TYPE_CHECKING:\n    import lightning as L"),
        ("src/kairos/video/decord.py", "import decord\nfrom . import budget\nfrom ..core.types import VideoClip"),
        ("src/kairos/credit/shapes.py", "import math\nimport numpy as np\nfrom torch import Tensor"),
        (
            "src/kairos/policy/network/text/forward.py",
            "import kairos.core.types\nfrom .context import Context",
        ),
        ("src/kairos/policy/language.py", "from kairos.policy.memory import recompute\nfrom .models import lora"),
        ("src/kairos/cli.py", "import hydra\nfrom kairos.compose import CONF"),
        (
            "src/kairos/commands/train.py",
            "import hydra\nfrom kairos.cli import command\nfrom kairos.compose import build",
        ),
    ],
)
def test_an_allowed_import_is_let_through(file: str, source: str):
    assert not complaints_about_imports(ROOT / file, source)


def test_a_paper_names_no_module_no_identifier_and_no_condition():
    assert not [line for path in FILES for line in complaints_about_papers(path, path.read_text())]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("src/kairos/credit/tempsamp.py", ""),
        ("src/kairos/credit/shapes.py", "class TempSampShape: ..."),
        ("src/kairos/policy/agent.py", "def f(tspo_frames): ..."),
        ("src/kairos/train/grpo.py", "f(time_r1=True)"),
        ("src/kairos/data/readers/charades.py", "if method == 'timezero': ..."),
        ("benchmarks/speed.py", "[x for x in y if x.name == 'TSPO']"),
    ],
)
def test_a_paper_name_out_of_place_is_noticed(file: str, source: str):
    assert complaints_about_papers(ROOT / file, source)


def test_a_paper_may_be_named_as_a_source():
    source = '"""Flattens rewards (TempSamp-R1, eq. 4)."""\n# as in TSPO\n'
    assert not complaints_about_papers(ROOT / "src/kairos/credit/shapes.py", source)
    assert not complaints_about_papers(ROOT / "src/kairos/data/templates/time_r1.py", "TIMEZERO = 1")


def test_no_tracked_file_names_a_machine_path_or_a_package_index():
    # Each pattern is written so that it does not match its own spelling here.
    folders = re.compile(r"/(?:w[o]rk|f[a]rm|t[m]p|r[o]ot|h[o]me|[o]pt)/|\.l[i]brary\b")
    hosts = re.compile(r"p[y]pi\.org|p[y]thonhosted|download\.p[y]torch\.org|r[e]gistry\.npmjs")
    beside = re.compile(r"\.\./s[h]ared\b")
    found = []
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" in content[:8192]:
            continue
        for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
            if folders.search(line) or hosts.search(line) or (beside.search(line) and name_of(path) != ".ci/run"):
                found.append(f"{name_of(path)}:{number}: {line.strip()[:120]}")
    assert not found, "\n".join(found)


def test_the_step_knows_no_policy_by_name():
    """`train/grpo.py` asks protocols: a policy, an agent or a teacher of one's own needs no edit there."""
    path = ROOT / "src" / "kairos" / "train" / "grpo.py"
    imported = list(imports_of(path, ast.parse(path.read_text())))
    assert "kairos.core.protocols.Policy" in imported
    assert not [name for name in imported if name.startswith("kairos.policy")]
