"""The HTML of the run page: one jinja2 template with its styles inside, no script, nothing to fetch."""
# ruff: noqa: E501

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ name }}</title>
<style>
:root { --ink: #1f2933; --muted: #6b7785; --rule: #dfe3e8; --accent: #1f6fb2; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 3rem 1.5rem 5rem; max-width: 66rem; color: var(--ink); background: #fff;
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; font-weight: 600; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.1rem; font-weight: 600; margin: 3rem 0 .6rem; padding-bottom: .35rem; border-bottom: 1px solid var(--rule); }
p { margin: .4rem 0; }
.muted, figcaption, .empty { color: var(--muted); }
.small, figcaption { font-size: .86rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .9rem; margin: 1.6rem 0 0; }
.tile { flex: 1 1 10rem; border: 1px solid var(--rule); border-radius: 6px; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.45rem; font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
.tile b i { font-style: normal; color: var(--muted); font-weight: 400; }
.tile span { font-size: .84rem; color: var(--muted); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--muted); font-size: .8rem; }
th, td { padding: .34rem .9rem .34rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
tr.first td { border-top: 1px solid #b9c1ca; }
td small { color: var(--muted); white-space: nowrap; }
td.up { color: #2f7d5b; } td.down { color: #b0413e; }
td.text { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .8rem; overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figure img { max-width: 100%; height: auto; }
.pair { display: flex; flex-wrap: wrap; gap: 1rem; } .pair figure { flex: 1 1 24rem; margin: .3rem 0; }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--accent); }
pre { font-size: .78rem; line-height: 1.45; background: #f6f7f9; border-radius: 6px; padding: .9rem 1rem; overflow-x: auto; }
</style>
</head>
<body>
"""
"""How every page begins: its title is `name`."""

PAGE = (
    HEAD
    + """<h1>{{ name }}</h1>
<p class="muted">{{ subtitle }}</p>
{% if overrides %}<p class="muted small">{{ overrides }}</p>{% endif %}
{% for note in notes %}<p class="empty small">{{ note }}</p>{% endfor %}
{% if tiles %}<div class="tiles">{% for tile in tiles %}
<div class="tile"><b>{% if tile.before %}<i>{{ tile.before }} → </i>{% endif %}{{ tile.value }}</b><span>{{ tile.label }}</span></div>
{%- endfor %}</div>{% endif %}

<h2>Before and after</h2>
{% if table %}
<table>
<thead><tr><th>Task</th><th>Score</th><th>n</th><th>Before</th><th>After</th><th>Change</th><th>Best constant, or chance</th></tr></thead>
<tbody>{% for row in table %}
<tr{% if row.task %} class="first"{% endif %}><td>{{ row.task }}</td><td>{{ row.name }}</td><td>{{ row.n }}</td>
{% for cell in (row.before, row.after) %}<td>{% if cell %}{{ cell.mean }} <small>{{ cell.range }}</small>{% else %}–{% endif %}</td>{% endfor %}
<td class="{{ row.direction }}">{% if row.change %}{{ row.change.mean }} <small>{{ row.change.range }}</small>{% else %}–{% endif %}</td>
<td>{% if row.floor %}{{ row.floor }} <small>{{ row.floor_name }}</small>{% else %}–{% endif %}</td></tr>
{%- endfor %}</tbody>
</table>
<p class="muted small">Brackets: 95 % percentile bootstrap over prompts; the change is paired by prompt. A score counts every prompt:
what could not be parsed, failed or is missing scores 0. The best constant span is searched on these very targets.</p>
{% if pictures.intervals %}<figure><img src="{{ pictures.intervals }}" alt="Scores before and after with their intervals"></figure>{% endif %}
{% else %}<p class="empty">No predictions yet: this run has neither predictions/before.jsonl nor predictions/after.jsonl.</p>{% endif %}

<h2>Training</h2>
{% if pictures.reward %}<figure><img src="{{ pictures.reward }}" alt="Reward over iterations">
<figcaption>Mean over the rollouts of an iteration that the policy itself wrote; faint: as logged, strong: running mean.</figcaption></figure>{% endif %}
{% if pictures.length or pictures.validation %}<div class="pair">
{% if pictures.validation %}<figure><img src="{{ pictures.validation }}" alt="Validation scores over iterations"></figure>{% endif %}
{% if pictures.length %}<figure><img src="{{ pictures.length }}" alt="Answer length over iterations"></figure>{% endif %}
</div>{% endif %}
{% if not has_metrics %}<p class="empty">No iterations yet: this run has no metrics.jsonl.</p>{% endif %}
{% if pictures.rest %}<details><summary>All other metrics</summary><figure><img src="{{ pictures.rest }}" alt="All other metrics"></figure></details>{% endif %}

{% if pictures.timeline %}<h2>Spans in time</h2>
<figure><img src="{{ pictures.timeline }}" alt="True and predicted spans over the frames">
<figcaption>The annotated span and what the policy answered, greedily, before and after training.</figcaption></figure>{% endif %}

{% if examples %}<h2>Answers</h2>
<table>
<thead><tr><th>Question</th><th>True</th><th>Before</th><th>After</th></tr></thead>
<tbody>{% for row in examples %}
<tr><td>{{ row.question }}</td><td>{{ row.truth }}</td><td class="text">{{ row.before }}</td><td class="text">{{ row.after }}</td></tr>
{%- endfor %}</tbody>
</table>{% endif %}

{% if group %}<h2>A group of the last iteration</h2>
<p class="muted small">{{ asked }}</p>
<table>
<thead><tr><th>Rollout</th><th>By</th><th>Reward</th><th>Terms, raw</th><th>Advantage</th></tr></thead>
<tbody>{% for row in group %}
<tr><td class="text">{{ row.text }}</td><td>{{ row.origin }}</td><td>{{ row.reward }}</td><td><small>{{ row.terms }}</small></td><td>{{ row.advantage }}</td></tr>
{%- endfor %}</tbody>
</table>{% endif %}

{% if reasons %}<h2>Answers that could not be used</h2>
<table>
<thead><tr><th>Reason</th><th>Before</th><th>After</th></tr></thead>
<tbody>{% for row in reasons %}<tr><td>{{ row.reason }}</td><td>{{ row.before }}</td><td>{{ row.after }}</td></tr>{% endfor %}</tbody>
</table>{% endif %}

<h2>How it was run</h2>
{% for title, text in files %}{% if text %}<details><summary>{{ title }}</summary><pre>{{ text }}</pre></details>{% endif %}{% endfor %}
<p class="muted small">Written by Kairos from the files of this folder; it can be written again from them without videos or model.</p>
</body>
</html>
"""
)
