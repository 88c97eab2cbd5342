"""What cannot be fitted is refused with words that help."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from gravdask.errors import MixtureError
from gravdask.mixture import GaussianMixture

KINDS = ("full", "tied", "diag", "spherical")


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.array([["1", "2"], ["3", "4"]]), r"X holds .*'1'.* in row 0, column 0: real numbers .* Convert the words"),
        (np.array([[1, 2.0], [3, "b"]], dtype=object), "X holds 'b' in row 1, column 1: real numbers"),
        ([[1.0, 2.0], [b"3", 4.0]], r"in row \d, column \d: real numbers are expected"),
        (pd.DataFrame({"a": [1.0, 2.0], "b": ["u", "v"]}), "X holds 'u' in row 0, column 1"),
        (np.array([[1, {}], [2, 3]], dtype=object), r"X holds \{\} in row 0, column 1: float\(\) argument must be"),
        (np.ones((5, 2)) * 1j, "Complex data not supported: X holds complex numbers. Give real and imaginary"),
        (np.array([[1, 2], [3, 4j]], dtype=object), r"Complex data not supported: X holds 4j in row 1, column 1"),
        ([[1, 2], [3]], "its rows differ in length"),
        (np.ones(5), "Expected 2D array, got 1D array instead"),
        (np.ones((5, 2, 2)), "Found array with dim 3"),
        (np.float64(3.0), "Expected 2D array, got scalar array"),
        (np.ones((0, 2)), r"Found array with 0 sample\(s\)"),
        (np.ones((5, 0)), r"Found array with 0 feature\(s\)"),
        (np.ones((1, 2)), r"Found array with 1 sample\(s\)"),
    ],
)
def test_what_is_no_table_of_numbers_is_named(X: Any, message: str, clusters: np.ndarray) -> None:
    with pytest.raises(MixtureError, match=message):
        GaussianMixture(2).fit(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (da.from_array(np.array([["1", "2"]] * 4)), "Expected a dask array of real numbers, got dtype <U1: convert"),
        (da.from_array(np.array([[1, 2]] * 4, dtype=object), chunks=2), "real numbers, got dtype object"),
        (da.ones((4, 2), dtype="M8[s]"), r"real numbers, got dtype datetime64\[s\]"),
        (da.ones((4, 2, 2)), r"two-dimensional dask array .* got shape \(4, 2, 2\)"),
        (da.ones((0, 2)), "n_components = 2, n_samples = 0"),
        (da.ones((4, 2), chunks=2)[:, da.array([True, False])], "with a known number of columns"),
    ],
)
def test_lazy_rows_that_are_no_table_of_numbers_are_named(X: Any, message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        GaussianMixture(2).fit(X)


def test_sparse_rows_are_refused_as_scikit_learn_does() -> None:
    with pytest.raises(TypeError, match="Sparse data was passed for X, but dense data is required"):
        GaussianMixture(2).fit(sparse.eye_array(5).tocsr())


def test_objects_that_are_numbers_are_numbers(clusters: np.ndarray) -> None:
    model = GaussianMixture(2, random_state=0, max_iter=300).fit(clusters.astype(object))
    np.testing.assert_array_equal(model.means_, GaussianMixture(2, random_state=0, max_iter=300).fit(clusters).means_)
    again = GaussianMixture(2, random_state=0, max_iter=300).fit(clusters, sample_weight=np.ones(2000).astype(object))
    np.testing.assert_allclose(again.means_, model.means_, rtol=1e-10)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("fitted", [False, True])
def test_unusable_weights_are_named(clusters: np.ndarray, lazy: bool, fitted: bool) -> None:
    X = da.from_array(clusters, chunks=(300, 4)) if lazy else clusters
    model = GaussianMixture(2, random_state=0, max_iter=300)

    def refused(weights: Any, message: str) -> None:
        method = model.fit if not fitted else model.partial_fit
        for given in (weights, da.from_array(weights, chunks=max(1, min(400, len(weights))))):
            with pytest.raises(MixtureError, match=message):
                method(X, sample_weight=given)

    if fitted:
        model.fit(clusters)
    one = np.ones(2000)
    for value in (-1e-9, np.nan, np.inf):
        bad = one.copy()
        bad[[1234, 1700]] = value
        refused(bad, "sample_weight holds 2 negative, NaN or infinite .* first in row 1234; weights are counts")
    refused(0.0 * one, "Every sample_weight is zero: no row counts")
    refused(one * 1j, "sample_weight must hold real numbers, .* got dtype complex128")
    refused(one.astype(str), "sample_weight must hold real numbers, .* got dtype <U")
    refused(np.array(["a"] * 2000, dtype=object), "sample_weight must hold real numbers, .* got dtype object")
    refused(one[:-1], "sample_weight has 1999 values for 2000 rows")
    refused(one.reshape(1000, 2), r"Sample weights must be 1D, \(n_rows,\), but got shape \(1000, 2\)")


def test_a_negative_number_as_weight_is_refused(clusters: np.ndarray) -> None:
    with pytest.raises(MixtureError, match=r"2000 negative, NaN or infinite .* first in row 0"):
        GaussianMixture(2).fit(clusters, sample_weight=-1.0)


def test_weights_may_be_lazy_where_rows_are_not(clusters: np.ndarray) -> None:
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 2000)
    model = GaussianMixture(2, random_state=0).fit(clusters, sample_weight=da.from_array(weights, chunks=300))
    np.testing.assert_array_equal(
        model.means_, GaussianMixture(2, random_state=0).fit(clusters, sample_weight=weights).means_
    )


def test_chunks_of_unknown_size_must_go_together(clusters: np.ndarray) -> None:
    keep = da.ones(2000, chunks=500, dtype=bool)
    X = da.from_array(clusters, chunks=(500, 4))[keep]
    model = GaussianMixture(2, random_state=0, missing="skip")
    uneven = da.ones(2000, chunks=(400, 600, 500, 500))[da.ones(2000, chunks=(400, 600, 500, 500), dtype=bool)]
    for name, given in (
        ("sample_weight", {"X": X, "sample_weight": uneven}),
        ("labels_init", {"X": X}),
    ):
        model.set_params(labels_init=None if name == "sample_weight" else uneven.astype(int) * 0)
        with pytest.raises(MixtureError, match=rf"{name} has [46]00 values for the 500 rows of one chunk: chunk both"):
            model.fit(**given)
    with pytest.raises(MixtureError, match=r"sample_weight has 3 chunks and X has 4: .* compute_chunk_sizes"):
        model.set_params(labels_init=None).fit(
            X, sample_weight=da.ones(2000, chunks=700)[da.ones(2000, chunks=700) > 0]
        )


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("method", ["kmeans", "k-means++", "random", "random_from_data"])
def test_more_components_than_rows_are_refused(lazy: bool, method: str) -> None:
    rows = np.random.default_rng(0).normal(size=(6, 2))
    X = da.from_array(rows, chunks=(2, 2)) if lazy else rows
    with pytest.raises(MixtureError, match=r"n_components = 7, n_samples = 6. Give more rows or fewer components"):
        GaussianMixture(7, init_params=method).fit(X)
    with pytest.raises(MixtureError, match="n_components = 6, n_samples with a weight above 0 = 5"):
        GaussianMixture(6, init_params=method).fit(X, sample_weight=np.arange(6.0))
    with pytest.raises(MixtureError, match="n_components = 7, n_samples = 6"):
        GaussianMixture(7, init_params=method).partial_fit(X)


@pytest.mark.parametrize("kind", ["full", "tied", "diag"])
@pytest.mark.parametrize("chunk", [None, 70])
def test_constant_columns_are_named(kind: str, chunk: int | None) -> None:
    rows = np.random.default_rng(0).normal(size=(300, 4))
    rows[:, 1], rows[:, 3] = 1e5 + 0.1, 0.0  # the first one's variance is not 0 after rounding
    X = rows if chunk is None else da.from_array(rows, chunks=(chunk, 4))
    options: dict[str, Any] = {"covariance_type": kind, "random_state": 0, "init_params": "random"}
    for method in ("fit", "partial_fit"):
        with pytest.raises(
            MixtureError, match=r"ill-defined .* over all rows columns 1, 3 are constant\. Leave them out"
        ):
            getattr(GaussianMixture(2, reg_covar=0.0, **options), method)(X)
    with pytest.raises(MixtureError, match=r"column 1 \(b\) is constant"):
        GaussianMixture(2, reg_covar=0.0, **options).fit(pd.DataFrame(rows[:, :3], columns=list("abc")))
    assert GaussianMixture(2, **options).fit(X).converged_  # the default reg_covar carries them


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_columns_that_repeat_others_are_named(kind: str) -> None:
    rows = np.random.default_rng(0).normal(size=(300, 3)) * [1.0, 100.0, 1e-4]
    rows = np.column_stack([rows, rows[:, 1] / 100.0 - 1.0, np.full(300, 7.0)])
    with pytest.raises(MixtureError, match=r"column 4 is constant and column [13] is combinations of others"):
        GaussianMixture(2, covariance_type=kind, reg_covar=0.0, init_params="random", random_state=0).fit(rows)


def test_too_little_regularisation_is_explained_after_the_failure() -> None:
    rows = np.array([[2.0, 2.0], [-2.0, -2.0]] * 32)  # the covariance is 4 everywhere, without rounding
    with pytest.raises(
        MixtureError, match=r"\(now 1e-300\).* Over all rows column [01] is combinations of others: leave them out"
    ):
        GaussianMixture(1, reg_covar=1e-300).fit(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_a_component_in_a_subspace_is_named_without_blaming_columns(kind: str) -> None:
    generator = np.random.default_rng(0)
    half = generator.integers(-8, 9, size=(32, 2)).astype(float)
    rows = np.concatenate([np.full((64, 2), 32.0), half, -half])  # mean 16: every sum is exact
    labels = np.repeat([0, 1], 64)
    model = GaussianMixture(2, covariance_type=kind, reg_covar=0.0, labels_init=labels)
    if kind == "tied":
        model.fit(rows)
        return
    with pytest.raises(MixtureError, match=r"component 0 has an ill-defined covariance .* \(now 0\)") as caught:
        model.fit(rows)
    assert "over all rows" not in str(caught.value).lower()


def test_one_constant_column_is_no_harm_to_spherical_covariances() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 2)) * [1.0, 0.0]
    model = GaussianMixture(1, covariance_type="spherical", reg_covar=0.0).fit(rows)
    np.testing.assert_allclose(model.covariances_, rows.var(axis=0).mean(), rtol=1e-12)


def test_values_beyond_float64_are_refused_in_words() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2))
    with (
        np.errstate(all="ignore"),
        pytest.raises(MixtureError, match=r"too far apart for float64|ill-defined"),
    ):
        GaussianMixture(2, random_state=0, init_params="random").fit(rows * 1e200)
