"""A chat template is a program that comes with a model: it ends, it reaches nothing, and says the same as before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from transformers import AutoTokenizer
from transformers.utils.chat_template_utils import render_jinja_template

from kairos.policy.models.chat_template import render
from kairos.policy.models.mini_tokenizer import CHAT_TEMPLATE
from kairos.policy.models.weights import locate
from kairos.policy.processor import LanguageProcessor

ASKED: list[dict[str, object]] = [
    {"role": "system", "content": 'Answer & <be> "brief".'},
    {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "When does it 'begin'?\n"}]},
]
DOUBLED = "{% set ns = namespace(s=['ab'], t=['ab']) %}{% for i in range(60) %}"
ENDLESS = {
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a filter in loops": "{% for a in range(99999) %}{{ range(99999) | sum }}{% endfor %}",
    "a generator in loops": "{% for a in range(9999) %}"
    "{% for b in range(9999) | map('string') %}{% endfor %}{% endfor %}",
    "a test in a loop": "{% for a in range(99999) if a in range(99999) | list %}{% endfor %}",
    "macros within macros": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
    "{{ f(40) }}",
    "a recursive loop": "{% for x in range(3) recursive %}{{ loop(range(3)) if loop.depth < 40 }}{% endfor %}",
    "a macro without an end": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a text times a number": "{{ 'a' * 10000000000 }}",
    "a text in a width": "{{ 'a' | center(10000000000) }}",
    "a method with a width": "{{ 'a'.center(10000000000) }}",
    "a format": "{{ '%9999999999d' % 1 }}",
    "a filter that formats": "{{ '%9999999999d' | format(1) }}",
    "a format whose width is an argument": "{{ '%*d' | format(9999999999, 1) }}",
    "a method that formats": "{{ '{:>9999999999}'.format(1) }}",
    "a long text in place of each letter": "{{ ('a' * 9999).replace('a', 'b' * 99999) }}",
    "a long text between many": "{{ range(99999) | join('x' * 99999) }}",
    "a text that doubles by ~": DOUBLED + "{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "a text that doubles by +": DOUBLED + "{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "a text that doubles in a block": DOUBLED + "{% set x %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = x %}"
    "{% endfor %}",
    "a list in lists": DOUBLED + "{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
    "a list in lists as JSON": DOUBLED + "{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s | tojson }}",
    "a namespace of them": DOUBLED + "{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns }}",
    "lists that are compared": DOUBLED
    + "{% set ns.s = [ns.s, ns.s] %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.s == ns.t }}",
    "numbers that grow": "{% set ns = namespace(x=9) %}"
    "{% for i in range(40) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "a power": "{{ 9 ** 99999999999 }}",
    "a long text many times": "{% set s = 'a' * 999999 %}{% for i in range(99999) %}{{ s }}{% endfor %}",
    "slices of a long text": "{% set s = 'a' * 999999 %}{% for i in range(99999) %}{% set t = s[1:] %}{% endfor %}",
}  # fmt: skip


@pytest.mark.parametrize("how", ENDLESS)
def test_a_template_that_does_not_end_is_refused(how: str):
    with pytest.raises(ValueError, match=r"the chat template of runs/strange cannot be rendered: "):
        render(ENDLESS[how], ASKED, {}, "runs/strange")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ messages.__class__.__mro__ }}", "is unsafe"),
        ("{{ cycler.__init__.__globals__.os.system('true') }}", "is unsafe"),
        ("{{ messages.append(1) }}", "is unsafe"),
        ("{% include 'x' %}", "no loader"),
        ("{{ raise_exception('no system message here') }}", "no system message here"),
        ("{% for %}", "is not Jinja: line 1"),
    ],
)
def test_a_template_reaches_nothing_and_its_errors_name_it(template: str, said: str):
    with pytest.raises((ValueError, TypeError), match=said):
        render(template, ASKED, {}, "runs/strange")


QWEN = """{%- set ns = namespace(videos=0, last=true) %}{%- macro show(content, counted) -%}
{%- if content is string %}{{- content }}
{%- else %}{%- for item in content %}{%- if item.type == 'video' or 'video' in item %}
{%- if counted %}{%- set ns.videos = ns.videos + 1 %}{%- endif %}Video {{ ns.videos }}: <|vision_start|><|video_pad|>
{%- elif 'text' in item %}{{- item.text | trim }}{%- endif %}{%- endfor %}{%- endif %}{%- endmacro %}
{%- if tools %}{{- tools | tojson }}{%- endif %}
{%- for message in messages[::-1] %}{%- set index = (messages | length - 1) - loop.index0 %}{{- index }}{%- endfor %}
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' ~ show(message.content, true) }}{{- '<|im_end|>' }}
{%- if loop.first and message.role == 'system' %}{%- continue %}{%- endif %}
{%- generation %}{{ message.role | upper }}{% endgeneration %}
{{- message | tojson(indent=2) }}{{- "%s of %05d" | format(loop.index, 3) }}{{- "a,b".split(",") | join(bos_token) }}
{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>' }}{%- endif %}
{%- endif %}"""


@pytest.mark.parametrize("template", ["the mini base's", "ours", QWEN])
@pytest.mark.parametrize("variables", [{"bos_token": "<b>"}, {"bos_token": "<b>", "enable_thinking": False}])
def test_the_text_is_that_of_transformers(template: str, variables: dict[str, object]):
    if template == "the mini base's":
        template = AutoTokenizer.from_pretrained(locate("mini_base").base).chat_template
    elif template == "ours":
        template = CHAT_TEMPLATE
    render_theirs = cast("Callable[..., tuple[list[str], object]]", render_jinja_template)
    (theirs,), _ = render_theirs([ASKED], chat_template=template, add_generation_prompt=True, **variables)
    assert render(template, ASKED, variables, "x") == theirs and theirs


def test_a_long_conversation_is_rendered():
    asked = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "word " * 20_000}]}] * 20
    assert len(render(QWEN, asked, {}, "x")) > 2_000_000


def test_a_processor_names_whose_template_it_is(tmp_path: Path):
    for file in Path(locate("mini_base").base).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    processor = LanguageProcessor(str(tmp_path))
    theirs = cast("Callable[..., str]", processor.loaded.apply_chat_template)
    assert processor.text(ASKED) == theirs(ASKED, tokenize=False, add_generation_prompt=True)
    (tmp_path / "chat_template.jinja").write_text(ENDLESS["loops in loops"])
    with pytest.raises(ValueError, match=f"the chat template of {tmp_path} cannot be rendered: it does not end within"):
        LanguageProcessor(str(tmp_path)).text(ASKED)
