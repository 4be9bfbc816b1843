"""The HTML of the page of several runs: one jinja2 template with its styles inside, no script, nothing to fetch."""
# ruff: noqa: E501

from kairos.report.run_page.markup import HEAD

COMPARISON = (
    HEAD
    + """<h1>{{ name }}</h1>
<p class="muted">{{ state }}{% if baseline %} · differences from {{ baseline }}{% endif %}</p>

<h2>Where they ended</h2>
{% for table in tables %}
<p class="muted">{{ table.task }}</p>
<table>
<thead><tr><th></th><th>Runs</th>{% for column in table.columns %}<th>{{ column }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in table.rows %}
<tr><td>{{ row.name }}</td><td>{{ row.runs }}</td>
{% for cell in row.cells %}<td class="{{ cell.direction }}">{{ cell.mean or "–" }} <small>{{ cell.range }}</small>
{% if cell.change %}<br><small>Δ {{ cell.change }} {{ cell.change_range }}</small>{% endif %}
{% if cell.before %}<br><small>before {{ cell.before }}</small>{% endif %}</td>{% endfor %}</tr>
{%- endfor %}</tbody>
</table>
{% endfor %}
<p class="muted small">Runs that differ in their seed only share a row. Brackets: 95 % intervals, Student's over seeds; of a single seed
bootstrapped over prompts. Δ: the difference from {{ baseline or "the first" }}, paired by seed, with a single seed by prompt.
Only finished runs count where there are any.</p>

<h2>Training</h2>
<figure><img src="{{ picture }}" alt="Curves of all runs"></figure>

{% if differences %}<h2>What differs</h2>
<table>
<thead><tr><th>Key</th>{% for name in names %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>{% for key, values in differences %}
<tr><td class="text">{{ key }}</td>{% for value in values %}<td class="text">{{ value }}</td>{% endfor %}</tr>
{%- endfor %}</tbody>
</table>{% endif %}

<h2>Runs</h2>
<table>
<thead><tr><th>Run</th><th>State</th><th>Iterations</th><th>Seconds</th></tr></thead>
<tbody>{% for run in runs %}
<tr><td>{% if run.page %}<a href="{{ run.page|urlencode }}">{{ run.name }}</a>{% else %}{{ run.name }}{% endif %}</td><td>{{ run.state }}</td><td>{{ run.iterations }}</td><td>{{ run.seconds }}</td></tr>
{%- endfor %}</tbody>
</table>
<p class="muted small">Written by Kairos from the runs' folders; it can be written again from them without videos or model.</p>
</body>
</html>
"""
)
