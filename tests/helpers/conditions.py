"""Conditions on rollouts: those that hold for the row of test_where.py, and texts that are none."""

from __future__ import annotations

TRUE = [
    "reason == null", "reason==None", "truncated == false", "not truncated", "not spans", "not reason", "text",
    "reward > 1 and weight == 0", "reward < 1 or terms.iou >= .5", "not (reward < 1 or weight > 0)",
    "0 < reward <= 1.5", "advantage < -0.2", "-1 < advantage", "origin != 'ground_truth'", 'origin == "policy"',
    "'wait' in text", "'never' not in text", "terms['a-b'] == 2", "reward != 'a'", "weight < reward",
    "task == 'größe' and reward > 1", "not reason < 3 and not reason > 3", "not duration < 1",
    "\n reward > 1\n and weight == 0",
]  # fmt: skip

CODE = [
    "__import__('os').remove('x')", "open('x')", "text.upper()", "(lambda: 1)()", "[x for x in y]", "text.__class__.x",
    "reward + 1 > 2", "reward if reward else weight", "f'{reward}' == '1'", "reward is null", "(x := 1)",
    "reward > [1]", "terms[0] == 1", "reward == b'x'", "*reward", "1", "'text'", "true", "-reward > 1", "reward == ...",
    "reward == 1j", "~reward", "reward; weight", "import os", "", "   ", "reward >", "reward = 1", "reward !== 1",
    "(reward", "\x00", "'\ud800' == text", "(" * 300 + "x" + ")" * 300, "-" * 500 + "1 == x", "x" * 2000,
]  # fmt: skip
