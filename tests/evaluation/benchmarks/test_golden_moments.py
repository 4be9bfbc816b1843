"""Published predictions score what was published: QVHighlights, VUE-TR, the sets of OMTG, and Charades' floors."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from helpers.predicting import mean, said
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kairos.compose import CONF, compose
from kairos.core.spans import Span, iou
from kairos.evaluation.benchmarks.average_precision import THRESHOLDS, window_precisions
from kairos.evaluation.benchmarks.highlights import LENGTHS, RATINGS, HighlightAP, HitAtOne, MomentAP, MomentRecall
from kairos.evaluation.benchmarks.matching import first_extended, span_f1
from kairos.evaluation.benchmarks.sets import CountAccuracy, EventF1, SpanF1
from kairos.evaluation.conventions import Convention
from kairos.evaluation.floors import Asked
from kairos.evaluation.predictions import Prediction


@pytest.fixture(scope="module")
def highlights(pytestconfig: pytest.Config) -> list[Prediction]:
    """Moment-DETR's released validation predictions beside their annotations."""
    folder = pytestconfig.getoption("--real-data")
    if folder is None:
        pytest.skip("needs real data: pytest --real-data=<folder>")
    lines = (Path(folder) / "annotations" / "qvhighlights_val.jsonl").read_text().splitlines()
    right = {row["qid"]: row for row in map(json.loads, lines)}
    stated = [json.loads(line) for line in (Path(folder) / "oracles" / "qvh_A_preds.jsonl").read_text().splitlines()]
    assert {row["qid"] for row in stated} == set(right)
    return [
        said(
            annotated=right[row["qid"]]["relevant_windows"],
            uid=str(row["qid"]),
            duration=float(right[row["qid"]]["duration"]),
            rated=tuple(
                (2.0 * clip, *map(float, ratings))
                for clip, ratings in zip(
                    right[row["qid"]]["relevant_clip_ids"], right[row["qid"]]["saliency_scores"], strict=True
                )
            ),
            ranked=tuple(tuple(window) for window in row["pred_relevant_windows"]),
            saliency=tuple(row["pred_saliency_scores"]),
        )
        for row in stated
    ]


def hundredths(value: float) -> float:
    return round(100 * value, 2)


def test_qvhighlights_moments_have_all_published_values(highlights: list[Prediction], real_data: Path):
    published = json.loads((real_data / "oracles" / "qvh_A_metrics.json").read_text())
    for length in LENGTHS:
        assert hundredths(mean(MomentAP(length=length), highlights)) == published[length]["MR-mAP"]["average"], length
    by_threshold = [window_precisions(row.ranked or (), row.target_spans) for row in highlights]
    for place, threshold in enumerate(THRESHOLDS):
        found = hundredths(sum(row[place] for row in by_threshold) / len(by_threshold))
        assert found == published["full"]["MR-mAP"][f"{threshold:g}"], threshold
        recall = mean(MomentRecall(threshold), highlights)
        assert hundredths(recall) == published["full"]["MR-R1"][f"{threshold:g}"], threshold
    assert hundredths(mean(MomentAP(0.75), highlights[:200])) == hundredths(sum(r[5] for r in by_threshold[:200]) / 200)


def test_qvhighlights_highlights_have_all_published_values(highlights: list[Prediction], real_data: Path):
    published = json.loads((real_data / "oracles" / "qvh_A_metrics.json").read_text())
    for rating in RATINGS:
        found = {"HL-mAP": mean(HighlightAP(rating), highlights), "HL-Hit1": mean(HitAtOne(rating), highlights)}
        assert {name: hundredths(value) for name, value in found.items()} == published[f"HL-min-{rating}"]


def test_vue_tr_predictions_have_their_published_row_in_every_attribute(real_data: Path):
    right = json.loads((real_data / "annotations" / "vue_tr_ground_truth.json").read_text())
    stated = json.loads((real_data / "oracles" / "vue_tr_gemini25pro_preds.json").read_text())
    answers = {row["query_id"]: row["answer"] for row in stated}
    predictions = [said(answers[row["query_id"]], row["gt"], str(row["query_id"]), many=True) for row in right]
    convention: Convention = instantiate(OmegaConf.load(Path(CONF) / "convention" / "vue_tr.yaml"))
    named = compose(["metrics=vue_tr"]).metrics
    columns = {"precision": "precision_auc_released", "recall": "recall_auc_released", "iou": "iou_auc"}
    metrics = {column: instantiate(named[name]) for column, name in columns.items()}
    judged = convention.judged(predictions)
    with (real_data / "oracles" / "vue_tr_results_table.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "Gemini-2.5-Pro"]
    assert len(rows) == 12
    for row in rows:
        kinds = ("duration_category", "query_format", "query_modality")
        chosen = [
            prediction
            for prediction, asked in zip(judged, right, strict=True)
            if row["attribute"] in ("overall", *(asked[kind] for kind in kinds))
        ]
        found = {column: f"{100 * mean(metric, chosen):.1f}%" for column, metric in metrics.items()}
        assert found == {column: row[column] for column in columns}, row["attribute"]


def test_sets_of_spans_have_the_published_matches_and_those_of_the_released_evaluation(real_data: Path):
    pairs = json.loads((real_data / "oracles" / "set_metrics_examples.json").read_text())["pairs"]
    for pair in pairs:
        row = said(pair["pred"], pair["gt"], many=True)
        names = {"tf1_03": 0.3, "tf1_05": 0.5, "tf1_07": 0.7}
        found = {name: SpanF1(threshold).value(row) for name, threshold in names.items()}
        found |= {"etf1": EventF1().value(row), "count_accuracy": CountAccuracy().value(row)}
        assert found == pytest.approx({name: pair[name] for name in found}, abs=1e-6), pair["id"]
        released = {name: SpanF1(threshold, released=True).value(row) for name, threshold in names.items()}
        released["etf1"] = EventF1(released=True).value(row)
        assert released == pytest.approx({name: pair["omtg_released"][name] for name in released}, abs=1e-6), pair["id"]
    assert span_f1(first_extended([]), [], 0.5) == 1.0


def test_the_constant_span_of_charades_scores_what_is_known(real_data: Path):
    durations = json.loads((real_data / "annotations" / "charades.json").read_text())
    targets = []
    for line in (real_data / "annotations" / "charades_sta_test.txt").read_text().splitlines():
        video, start, end = line.split("##")[0].split()
        targets.append(Asked((Span(float(start), float(end)),), durations[video]["duration"]))
    assert len(targets) == 3720
    shares = {(0.0, 1.0): 26.99, (0.0, 0.4): 30.35}
    for (begin, end), published in shares.items():
        scored = [iou(Span(begin * asked.duration, end * asked.duration), asked.spans[0]) for asked in targets]
        assert round(100 * sum(scored) / len(scored), 2) == published
