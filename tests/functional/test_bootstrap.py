"""The bootstrap against the theory of means, and its edges."""

from statistics import NormalDist

import numpy as np
import pytest

from recsys_lightning.functional import bootstrap
from recsys_lightning.functional.bootstrap import (
    bootstrap_of_choice,
    bootstrap_of_pairs,
    choose_without,
    holm,
    paired_bootstrap,
)


def test_the_interval_is_that_of_the_mean():
    rng = np.random.default_rng(0)
    b = rng.random(4000)
    a = b + rng.normal(0.01, 0.2, 4000)
    found = paired_bootstrap(a, b, seed=1, resamples=4000)
    error = (a - b).std(ddof=1) / np.sqrt(4000)
    assert found.mean == pytest.approx((a - b).mean())
    assert found.low == pytest.approx(found.mean - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(found.mean + 1.96 * error, abs=0.1 * error)
    assert found == paired_bootstrap(a, b, seed=1, resamples=4000)


def test_p_is_uniform_where_there_is_no_difference():
    rng = np.random.default_rng(2)
    small = sum(
        paired_bootstrap(rng.random(300), rng.random(300), resamples=400).p < 0.1
        for _ in range(200)
    )
    assert 8 <= small <= 34  # 20 expected, s.d. 4.2


def test_the_other_way_round():
    a, b = np.random.default_rng(3).random((2, 500))
    here, there = paired_bootstrap(a, b), paired_bootstrap(b, a)
    assert (here.mean, here.low) == pytest.approx((-there.mean, -there.high))
    assert here.p == there.p


def test_equal_models_and_users_who_were_not_evaluated():
    values = np.array([0.5, np.nan, 0.25])
    assert paired_bootstrap(values, values) == (0, 0, 0, 1)
    assert paired_bootstrap(values, np.array([0.25, 9.0, np.nan]))[:3] == (0.25, 0.25, 0.25)
    assert np.isnan(paired_bootstrap(values[1:2], values[1:2])).all()


def test_all_pairs_are_each_as_if_alone():
    values = np.random.default_rng(4).random((4, 300))
    values[:, 7] = np.nan
    found = bootstrap_of_pairs(values, seed=5)
    assert list(found) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    for (a, b), difference in found.items():
        assert difference == pytest.approx(paired_bootstrap(values[a], values[b], seed=5))


def test_equal_sums_are_equal_though_they_round_otherwise():
    """Ties count on both sides, whatever the unit: tenths do not add up exactly."""
    a, b = np.random.default_rng(7).integers(0, 4, (2, 30)).astype(float)
    assert paired_bootstrap(a / 10, b / 10).p == paired_bootstrap(a, b).p
    assert bootstrap_of_pairs(np.stack([a, a]) / 10)[0, 1] == (0, 0, 0, 1)


def test_many_pairs_can_still_be_told_apart():
    """Of 17 models: 136 pairs, whose smallest p is raised as often."""
    values = np.random.default_rng(6).random((17, 40)) / 10
    values[0] += 1
    found = bootstrap_of_pairs(values)
    raised = holm(np.array([difference.p for difference in found.values()]))
    assert (raised[:16] <= 0.025).all()
    assert (raised[16:] > 0.05).any()


def test_without_users_nothing_is_known():
    assert np.isnan(bootstrap_of_pairs(np.full((2, 3), np.nan))[0, 1]).all()


def test_a_raised_p_is_at_most_one():
    assert holm(np.array([0.6, 0.2, 0.9])).tolist() == pytest.approx([1, 0.6, 1])


@pytest.mark.parametrize("gain", [0.0, 0.01, 1.0])
def test_a_choice_among_one_gains_what_the_theory_of_means_says(gain):
    rng = np.random.default_rng(9)
    other = rng.random(400)
    values = other + rng.normal(gain, 0.2, 400)
    found = bootstrap_of_choice(values[None], other, np.arange(400) % 5, resamples=4000)
    mean, error = (values - other).mean(), (values - other).std() / 20
    assert found.mean == pytest.approx(mean)
    assert found.low == pytest.approx(mean - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(mean + 1.96 * error, abs=0.1 * error)
    assert found.p == pytest.approx(2 * NormalDist().cdf(-abs(mean) / error), abs=0.05)


def test_a_choice_among_equal_models_gains_nothing():
    values = np.array([0.5, 0.25, 1.0, 0.75])
    assert bootstrap_of_choice(np.stack([values] * 2), values, np.arange(4) % 2) == (0, 0, 0, 1)


@pytest.mark.parametrize("num_users", [2, 4])
def test_a_resample_of_nobody_says_nothing(num_users):
    """Of four users one in 55 draws none of them."""
    other = np.zeros(num_users)
    found = bootstrap_of_choice(np.eye(1, num_users), other, np.arange(num_users) % 2)
    assert found.mean == 1 / num_users
    assert 0 < found.p < 1
    assert found.low < 0 < found.mean < found.high


def test_a_choice_is_by_users_for_whom_all_were_evaluated():
    rng = np.random.default_rng(8)
    values, other, fold = rng.random((3, 60)), rng.random(60), np.arange(60) % 4
    values[1, fold == 2] += 1
    more = np.array([[np.nan, 9.0], [0.0, np.nan], [0.0, 0.0]])
    longer = np.concatenate([values, more], axis=1), np.append(other, [0.0, 0.0])
    folds = np.append(fold, [3, 0])
    assert choose_without(longer[0], folds).tolist() == choose_without(values, fold).tolist()
    expected = bootstrap_of_choice(values, other, fold, seed=1)
    assert bootstrap_of_choice(*longer, folds, seed=1) == pytest.approx(expected)
    longer[1][-2:] = np.nan
    assert bootstrap_of_choice(*longer, folds, seed=1) == pytest.approx(expected)
    assert bootstrap_of_choice(values, other, fold, seed=2) != pytest.approx(expected)


def test_how_many_are_drawn_at_once_does_not_matter(monkeypatch):
    rng = np.random.default_rng(10)
    values, other, fold = rng.random((2, 30)), rng.random(30), np.arange(30) % 3

    def found():
        pair = paired_bootstrap(values[0], other, seed=4, resamples=250)
        return [*pair, *bootstrap_of_choice(values, other, fold, seed=4, resamples=250)]

    at_once = found()
    monkeypatch.setattr(bootstrap, "_DRAWS", 30 * 64)  # 64, and 58 at last
    assert found() == pytest.approx(at_once)
