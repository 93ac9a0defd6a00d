"""Ranking: ties where intervals overlap, seeds as one entry, no order across passports; and the page of it."""

import json
import shutil

import numpy as np
import pytest

from figment.core import plugins
from figment.core.checkpoint import load_model, write_model, write_sampling
from figment.core.errors import ConfigError
from figment.evaluate.passport import RANKED_BY, issued
from figment.evaluate.ranking import entries_of, ranked
from figment.pages import leaderboard
from figment.pages.leaderboard import Look, Pair
from figment.pages.run_report import Curve
from tests.commands import QUICK, done, figment
from tests.pictures import png

FACTS = dict.fromkeys(RANKED_BY, "same")


def score(low, high, *, higher=False, **facts):
    return {
        "value": (low + high) / 2,
        "low": low,
        "high": high,
        "floor": 0.1,
        "ceiling": 9.0,
        "higher_is_better": higher,
        "passport": issued(FACTS | facts),
    }


def answer(run, **scores):
    return {"run": run, "family": "flow", "scores": scores}


def ranks_of(metric, *answers, groups=None):
    order, columns = ranked(entries_of(answers, groups or [one["run"] for one in answers]))
    (column,) = [column for column in columns if column.metric == metric]
    return [entry.name for entry in order], dict(column.ranks)


def test_the_better_of_two_separate_intervals_leads_in_either_direction():
    low, high = answer("low", fd=score(1, 2)), answer("high", fd=score(3, 4))
    assert ranks_of("fd", high, low) == (["low", "high"], {"low": 1, "high": 2})
    low = answer("low", recall=score(0.1, 0.2, higher=True))
    high = answer("high", recall=score(0.3, 0.4, higher=True))
    assert ranks_of("recall", low, high) == (["high", "low"], {"high": 1, "low": 2})


def test_overlapping_intervals_are_ties_and_the_next_rank_counts_them():
    runs = [answer("a", fd=score(1, 3)), answer("b", fd=score(2, 4)), answer("c", fd=score(5, 6))]
    assert ranks_of("fd", *runs)[1] == {"a": 1, "b": 1, "c": 3}


def test_a_run_is_never_placed_behind_one_that_it_may_well_beat():
    """a and c are apart, b overlaps both: b may be as good as a, and c as good as b."""
    runs = [answer("a", fd=score(1, 3)), answer("b", fd=score(2, 5)), answer("c", fd=score(4, 6))]
    assert ranks_of("fd", *runs)[1] == {"a": 1, "b": 1, "c": 2}


def test_runs_of_different_seeds_are_one_entry_with_mean_and_spread():
    runs = [answer("runs/s0", fd=score(1, 2)), answer("runs/s1", fd=score(3, 4)), answer("runs/gan", fd=score(3.5, 5))]
    (entry, gan), _ = ranked(entries_of(runs, ["flow", "flow", "gan"]))
    pooled = entry.scores["fd"]
    assert (entry.name, gan.name) == ("s0 (2 seeds)", "gan")
    assert (pooled.value, pooled.low, pooled.high) == (2.5, 1, 4)
    assert pooled.spread == pytest.approx(np.std([1.5, 3.5], ddof=1))
    assert gan.scores["fd"].spread is None
    assert ranks_of("fd", *runs, groups=["flow", "flow", "gan"])[1] == {"s0 (2 seeds)": 1, "gan": 1}


def test_names_are_made_longer_until_they_differ():
    entries = entries_of([answer("a/x/run", fd=score(1, 2)), answer("b/x/run", fd=score(1, 2))], ["1", "2"])
    assert [entry.name for entry in entries] == ["a/x/run", "b/x/run"]


@pytest.mark.parametrize("field", ["num_fake", "resize", "extractor_digest", "reference_digest", "definition"])
def test_different_passports_are_not_ranked_and_the_field_is_named(field):
    runs = [
        answer("a", fd=score(1, 2), kid=score(1, 2)),
        answer("b", fd=score(3, 4, **{field: "else"}), kid=score(3, 4)),
    ]
    _, columns = ranked(entries_of(runs, ["a", "b"]))
    refusals = {column.metric: column.refusal for column in columns}
    assert refusals == {"kid": "", "fd": f"fd of a and b differ in {field}: same and else"}
    assert [column.metric for column in columns if column.is_headline] == ["kid"]


def test_where_nothing_can_be_ranked_the_reason_is_the_answer():
    runs = [answer("a", fd=score(1, 2)), answer("b", fd=score(3, 4, num_fake=500))]
    with pytest.raises(ConfigError, match="nothing can be ranked: fd of a and b differ in num_fake: same and 500"):
        ranked(entries_of(runs, ["a", "b"]))


def test_seeds_that_were_scored_differently_are_not_pooled():
    runs = [answer("a", fd=score(1, 2)), answer("b", fd=score(3, 4, num_fake=500))]
    with pytest.raises(ConfigError, match="fd: seeds of one run were scored differently, num_fake: same and 500"):
        entries_of(runs, ["one", "one"])


def test_a_metric_that_one_entry_lacks_ranks_the_others_and_orders_nothing():
    runs = [answer("a", fd=score(5, 6), kid=score(5, 6)), answer("b", kid=score(1, 2))]
    order, columns = ranked(entries_of(runs, ["a", "b"]))
    assert [entry.name for entry in order] == ["b", "a"]
    assert {column.metric: dict(column.ranks) for column in columns} == {"kid": {"b": 1, "a": 2}, "fd": {"a": 1}}


# The page.


@pytest.fixture
def page(tmp_path):
    """The page of two entries with everything on it, one of them named like an attack."""
    name = "<script>alert(1)"
    shares = {"precision": score(0.4, 0.6, higher=True), "recall": score(0.2, 0.3, higher=True)}
    runs = [answer(name, fd=score(1, 2), **shares), answer("b", fd=score(1.5, 4), **shares)]
    order, columns = ranked(entries_of(runs, ["a", "b"]))
    pair = Pair(png(1, 8, 8), [png(2, 8, 8), png(3, 8, 8)], "closeness 0.10", True)
    look = Look(png(4, 20, 20), {"parameters": "57,088"}, {"class_fd": {"cat": 1.5}}, "Copies: 3% are.", [pair])
    leaderboard.write(
        tmp_path / "page.html",
        title="Two",
        facts={"pictures": "8x8x1"},
        entries=order,
        columns=columns,
        looks={entry.name: look for entry in order},
        curves=[(Curve("fd", "fd", {entry.name: [(100, 3.0), (200, 2.0)] for entry in order}), "seconds")],
        notes=["a note"],
        command="figment compare a b",
    )
    return (tmp_path / "page.html").read_text("utf-8")


def test_the_page_has_a_section_for_everything(page):
    for part in ("ranking", "samples", "scores", "plane", "curves", "classes", "copies", "cost", "passport"):
        assert f'<section id="{part}"' in page
    assert page.count('<span class="rank first">1</span>') == 2 + 2 * 3  # a tie, above and in the table of every score
    assert "57,088" in page and "Copies: 3% are." in page and "200 seconds" in page and "a note" in page


def test_the_page_loads_nothing_and_escapes_what_it_is_given(page):
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_page_of_scores_alone_leaves_the_rest_out(tmp_path):
    order, columns = ranked(entries_of([answer("a", kid=score(1, 2))], ["a"]))
    leaderboard.write(
        tmp_path / "page.html", title="One", facts={}, entries=order, columns=columns, looks={"a": Look()}
    )
    text = (tmp_path / "page.html").read_text("utf-8")
    assert '<section id="scores"' in text
    assert not any(
        f'<section id="{part}"' in text for part in ("samples", "plane", "curves", "classes", "copies", "cost")
    )


# Which runs are one entry.


@pytest.fixture(scope="module")
def runs(digits, tmp_path_factory):
    place = tmp_path_factory.mktemp("compare")
    for seed in (0, 1):
        done("train", "vae", "--data", digits.path, "--out", place / f"vae{seed}", *QUICK, "--steps", 3, "--seed", seed)
    done("train", "gan", "--data", digits.path, "--out", place / "gan", *QUICK, "--steps", 2)
    return place


def measure(digits, *more):
    eyes = ("--features", "descriptors", "--metrics", "kid", "precision_recall")
    return ("--data", digits.path, *eyes, "--num", 60, *more)


def test_runs_are_ranked_seeds_pooled_and_a_page_is_written(runs, digits, tmp_path):
    out = tmp_path / "new" / "page.html"
    answer = done(
        "compare", *(runs / name for name in ("vae0", "vae1", "gan")), *measure(digits, "--out", out), "--json"
    )
    board = answer.json["leaderboard"]["kid"]
    assert {row["name"]: row["seeds"] for row in board} == {"vae0 (2 seeds)": 2, "gan": 1}
    assert [row["rank"] for row in board] == sorted(row["rank"] for row in board)
    assert len(answer.json["runs"]) == 3 and answer.json["refused"] == {}
    text = out.read_text("utf-8")
    assert '<section id="samples"' in text and '<section id="copies"' in text and "parameters" in text


def rows(*words):
    board = done("compare", *words, "--json").json["leaderboard"]["kid"]
    return {row["name"]: row["seeds"] for row in board}


def test_a_tuned_copy_of_a_run_is_no_second_seed(runs, digits, tmp_path):
    tuned = shutil.copytree(runs / "vae0", tmp_path / "tuned")
    write_sampling(tuned, plugins.load("families", "vae").Sampling(temperature=0.5))
    assert rows(runs / "vae0", runs / "vae1", tuned, *measure(digits)) == {"vae0 (2 seeds)": 2, "tuned": 1}
    averaged = shutil.copytree(runs / "vae0", tmp_path / "averaged")
    loaded = load_model(averaged)
    facts = loaded.facts | {"sigma_rel": 0.1}
    write_model(averaged / "model", loaded.model.state_dict(), loaded.family, loaded.settings, loaded.spec, facts)
    assert rows(runs / "vae1", averaged, *measure(digits)) == {"vae1": 1, "averaged": 1}


def test_a_run_tuned_to_what_its_family_does_anyway_is_still_its_seeds_peer(runs, digits, tmp_path):
    tuned = shutil.copytree(runs / "vae0", tmp_path / "tuned")
    write_sampling(tuned, plugins.load("families", "vae").Sampling())
    assert rows(tuned, runs / "vae1", *measure(digits)) == {"tuned (2 seeds)": 2}


def test_a_seed_counts_once(runs, digits, tmp_path):
    """A run that is given twice, as it is and as its scores, is one; a copy of it is no other seed."""
    vae0 = runs / "vae0"
    (tmp_path / "vae0.json").write_text(done("eval", vae0, *measure(digits), "--json").out)
    answer = done("compare", vae0, vae0, tmp_path / "vae0.json", *measure(digits), "--json")
    assert [one["run"] for one in answer.json["runs"]] == [str(vae0)]
    assert f"warning: {vae0}: was given before, its scores in {tmp_path / 'vae0.json'} are passed over" in answer.err
    copy = shutil.copytree(vae0, tmp_path / "copy")
    assert rows(vae0, copy, runs / "vae1", *measure(digits)) == {"vae0 (2 seeds)": 2, "copy": 1}


# The verb.


def test_answers_of_eval_are_compared_and_other_counts_refused(runs, digits, tmp_path):
    for name, num in (("vae0", 60), ("gan", 40)):
        scored = done("eval", runs / name, *measure(digits), "--num", num, "--json")
        (tmp_path / f"{name}.json").write_text(scored.out)
    told = figment("compare", tmp_path / "vae0.json", tmp_path / "gan.json", *measure(digits)).complaint
    assert told == "nothing can be ranked: kid of vae0 and gan differ in num_real: 60 and 40"
    again = done("compare", tmp_path / "vae0.json", runs / "gan", *measure(digits), "--json").json
    fresh = done("compare", runs / "vae0", runs / "gan", *measure(digits), "--json").json
    assert again["leaderboard"] == fresh["leaderboard"]


def test_what_cannot_be_compared_is_told(runs, digits, tmp_path):
    (tmp_path / "other.json").write_text(json.dumps({"runs": [1]}))
    assert (
        "is no answer of 'figment eval --json'"
        in figment("compare", tmp_path / "other.json", *measure(digits)).complaint
    )
    assert figment("compare", *measure(digits)).complaint.startswith("name the runs to compare")
