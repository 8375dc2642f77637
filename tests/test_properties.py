"""Laws that hold for any ratings, ids, scales and parameters.

CI tries the same few random inputs each time; tox -e properties tries many times more, by
SURPRISE_AUTOREC_THOROUGH, and new ones.
"""

import copy
import pickle
import warnings
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from conftest import THOROUGH
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from surprise import Dataset, Reader

from surprise_autorec import AutoRec, AutoRecRegressor
from surprise_autorec.callbacks import StopTraining
from surprise_autorec.core.training import DivergenceError
from surprise_autorec.persistence import load

PROFILE = settings(
    max_examples=30 * THOROUGH,
    derandomize=THOROUGH == 1,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TINY = {"n_factors": 3, "n_epochs": 2, "random_state": 0}

#: Each kind of AutoRec.
KINDS = st.sampled_from(
    [
        {},
        {"variant": "user"},
        {"variant": "hybrid", "n_estimators": 2},
        {"two_sided": False},
        {"n_factors": (4, 2)},
        {"biased": False},
        {
            "biased": False,
            "two_sided": False,
            "dropout": 0.0,
            "averaging": 0.0,
            "optimizer": "rprop",
            "reg_all": 400.0,
        },
        {"decoder_activation": "sigmoid", "encoder_activation": "tanh"},
        {"bsl_options": {"method": "als", "reg_u": 3}},
    ]
)

#: Whatever can be the key of a dict, and equals itself.
IDS = st.one_of(
    st.text(),
    st.integers(),
    st.floats(allow_nan=False),
    st.booleans(),
    st.none(),
    st.binary(),
    st.tuples(st.text(), st.integers()),
    st.frozensets(st.integers(), max_size=3),
    st.integers(-(2**62), 2**62).map(np.int64),
    st.text().map(np.str_),
    st.text(alphabet=st.characters(categories=["Cs"]), min_size=1),
    st.dates(),
)

#: Ids that can be saved.
PLAIN_IDS = st.one_of(st.text(), st.integers(), st.floats(allow_nan=False), st.integers(0, 9).map(np.int64))


@st.composite
def scales(draw):
    """The lowest and the highest rating, from 1e-30 to 1e30 apart."""
    width = draw(st.sampled_from([1e-30, 1e-9, 0.5, 1, 4, 20, 1e9, 1e30]))
    low = draw(st.sampled_from([0, 1, -0.5, -1, 3])) * width
    return float(low), float(low + width)


@st.composite
def ratings(draw, ids=IDS, scale=None):
    """A rating scale, and triples of user, item and rating, each pair once, at least two."""
    low, high = scale or draw(scales())
    users = draw(st.lists(ids, min_size=1, max_size=7, unique=True))
    items = draw(st.lists(ids, min_size=2, max_size=7, unique=True))
    pairs = draw(
        st.lists(
            st.tuples(st.integers(0, len(users) - 1), st.integers(0, len(items) - 1)),
            min_size=2, max_size=30, unique=True,
        )
    )  # fmt: skip
    shares = draw(st.lists(st.integers(0, 8), min_size=len(pairs), max_size=len(pairs)))
    values = (low + (high - low) * share / 8 for share in shares)
    triples = [(users[u], items[i], min(max(r, low), high)) for (u, i), r in zip(pairs, values, strict=True)]
    return (low, high), triples


def trainset_of(scale, triples):
    data = Dataset(Reader(rating_scale=scale))
    return data.construct_trainset([(*triple, None) for triple in triples])


def fitted(scale, triples, **parameters):
    return AutoRec(**{**TINY, **parameters}).fit(trainset_of(scale, triples))


def pairs_of(triples):
    """Every user and every item, and one of each that nobody knows."""
    users, items = (list(dict.fromkeys(triple[place] for triple in triples)) for place in (0, 1))
    return [(u, i, None) for u in [*users, object()] for i in [*items, object()]]


def estimates(algorithm, pairs):
    return np.array([prediction.est for prediction in algorithm.test(pairs)])


@PROFILE
@given(ratings(), KINDS)
def test_every_estimate_lies_on_the_scale_whatever_the_ids(given_ratings, kind):
    (low, high), triples = given_ratings
    algorithm = fitted((low, high), triples, **kind)
    found = estimates(algorithm, pairs_of(triples))
    assert (found >= low).all()
    assert (found <= high).all()
    table = algorithm.recommend([triples[0][0]], n=3, exclude_rated=False)
    assert table["estimate"].between(low, high).all()


@PROFILE
@given(ratings(), KINDS)
def test_predict_is_test(given_ratings, kind):
    (low, high), triples = given_ratings
    algorithm = fitted((low, high), triples, **kind)
    pairs = pairs_of(triples)
    singly = [algorithm.predict(u, i).est for u, i, _ in pairs]
    np.testing.assert_allclose(singly, estimates(algorithm, pairs), rtol=0, atol=1e-5 * (high - low))


@PROFILE
@given(ratings(), KINDS)
def test_names_do_not_matter(given_ratings, kind):
    scale, triples = given_ratings
    users, items = ({one: n for n, one in enumerate(dict.fromkeys(t[k] for t in triples))} for k in (0, 1))
    renamed = [(f"user {users[u]}", f"item {items[i]}", r) for u, i, r in triples]
    found = estimates(fitted(scale, renamed, **kind), pairs_of(renamed))
    assert found.tolist() == estimates(fitted(scale, triples, **kind), pairs_of(triples)).tolist()


@PROFILE
@given(ratings(), KINDS, st.randoms(use_true_random=False))
def test_the_order_of_ratings_does_not_matter_if_that_of_ids_stays(given_ratings, kind, random):
    (low, high), triples = given_ratings
    users, items = (set(), set())
    first, rest = [], []
    for triple in triples:
        is_new = triple[0] not in users or triple[1] not in items
        (first if is_new else rest).append(triple)
        users.add(triple[0])
        items.add(triple[1])
    random.shuffle(rest)
    pairs = pairs_of(triples)
    found = estimates(fitted((low, high), [*first, *rest], **kind), pairs)
    wanted = estimates(fitted((low, high), triples, **kind), pairs)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3 * (high - low))


@PROFILE
@given(ratings(ids=st.integers(0, 20), scale=(1.0, 5.0)), KINDS, st.integers(-90, 90), st.integers(-3, 3))
def test_the_scale_does_not_matter(given_ratings, kind, exponent, shift):
    """Exactly so where ratings are multiplied by a power of two, nearly so where something is added."""
    scale, triples = given_ratings
    factor = 2.0**exponent
    pairs = pairs_of(triples)
    wanted = estimates(fitted(scale, triples, **kind), pairs)
    scaled = fitted([end * factor for end in scale], [(u, i, r * factor) for u, i, r in triples], **kind)
    assert (estimates(scaled, pairs) / factor).tolist() == wanted.tolist()
    moved = fitted([end + shift for end in scale], [(u, i, r + shift) for u, i, r in triples], **kind)
    np.testing.assert_allclose(estimates(moved, pairs) - shift, wanted, rtol=0, atol=1e-3)


@PROFILE
@given(ratings(), KINDS)
def test_ratings_given_twice_count_once(given_ratings, kind):
    (low, high), triples = given_ratings
    pairs = pairs_of(triples)
    with pytest.warns(UserWarning, match="more than once"):
        twice = fitted((low, high), triples + triples, **kind)
    wanted = estimates(fitted((low, high), triples, **kind), pairs)
    np.testing.assert_allclose(estimates(twice, pairs), wanted, rtol=0, atol=1e-5 * (high - low))


@PROFILE
@given(ratings(ids=PLAIN_IDS), KINDS)
def test_copies_are_the_same_however_they_are_made(given_ratings, kind):
    scale, triples = given_ratings
    algorithm, pairs = fitted(scale, triples, **kind), pairs_of(triples)
    wanted = estimates(algorithm, pairs).tolist()
    with TemporaryDirectory() as folder:
        algorithm.save(Path(folder) / "model")
        copies = [load(Path(folder) / "model")]
        copies[0].save(Path(folder) / "again")
        assert (Path(folder) / "again").read_bytes() == (Path(folder) / "model").read_bytes()
    copies += [pickle.loads(pickle.dumps(algorithm)), copy.copy(algorithm), copy.deepcopy(algorithm)]
    for one in copies:
        assert estimates(one, pairs).tolist() == wanted
        assert one.model_.user_ids == algorithm.model_.user_ids
        assert [*map(type, one.model_.item_ids)] == [*map(type, algorithm.model_.item_ids)]


@PROFILE
@given(ratings(), KINDS)
def test_partial_fit_with_what_is_known_is_partial_fit_with_nothing(given_ratings, kind):
    (low, high), triples = given_ratings
    pairs = pairs_of(triples)
    known = fitted((low, high), triples, **kind).partial_fit(triples[:2], n_epochs=1)
    nothing = fitted((low, high), triples, **kind).partial_fit([], n_epochs=1)
    np.testing.assert_allclose(
        estimates(known, pairs), estimates(nothing, pairs), rtol=0, atol=1e-3 * (high - low)
    )


@PROFILE
@given(ratings(), KINDS)
def test_a_user_of_training_who_is_folded_in_is_that_user(given_ratings, kind):
    """Where users are encoded; otherwise weights were learnt for the user that no folding in finds."""
    assume(kind.get("variant", "item") == "item")
    (low, high), triples = given_ratings
    algorithm = fitted((low, high), triples, **{**kind, "variant": "user"})
    uid = triples[0][0]
    # (Not u == uid: numbers of NumPy compare themselves with the elements of a tuple.)
    own = {i: r for u, i, r in triples if u in {uid}}
    iids = list(dict.fromkeys(i for _, i, _ in triples))
    found = algorithm.predict_new_user(own, iids)
    wanted = estimates(algorithm, [(uid, iid, None) for iid in iids])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * (high - low))


@PROFILE
@given(ratings(), KINDS)
def test_explanations_add_up(given_ratings, kind):
    (low, high), triples = given_ratings
    algorithm = fitted((low, high), triples, **kind)
    uid, iid, _ = triples[0]
    total = algorithm.explain(uid, iid, n=2)["contribution"].sum()
    assert total == pytest.approx(algorithm.predict(uid, iid).est, abs=1e-4 * (high - low))
    own = {i: r for u, i, r in triples if u in {uid}}
    total = algorithm.explain_new_user(own, iid)["contribution"].sum()
    assert total == pytest.approx(algorithm.predict_new_user(own, [iid])[0], abs=1e-4 * (high - low))


@PROFILE
@given(ratings(), KINDS, st.lists(st.floats(0.01, 0.99), min_size=2, max_size=2, unique=True))
def test_intervals_nest_around_the_estimate(given_ratings, kind, coverages):
    (low, high), triples = given_ratings
    algorithm, pairs = fitted((low, high), triples, uncertainty=True, **kind), pairs_of(triples)
    if algorithm.model_.errors is None:
        with pytest.raises(ValueError, match="too few ratings"):
            algorithm.predict_interval(pairs, 0.5)
        return
    narrow, wide = (algorithm.predict_interval(pairs, coverage).T for coverage in sorted(coverages))
    found = estimates(algorithm, pairs)
    ascending = [np.full(len(found), low), wide[0], narrow[0], found, narrow[1], wide[1], high]
    for one, other in pairwise(ascending):
        assert (one <= other).all()


@PROFILE
@given(
    ratings(ids=st.integers(0, 99) | st.text("ab", min_size=1), scale=(1.0, 5.0)),
    KINDS,
)
def test_the_regressor_is_the_algorithm(given_ratings, kind):
    scale, triples = given_ratings
    X = np.array([(u, i) for u, i, _ in triples], dtype=object)
    regressor = AutoRecRegressor(**{**TINY, **kind}, rating_scale=scale).fit(X, [r for _, _, r in triples])
    pairs = pairs_of(triples)
    pairs = [(u, i, None) for u, i, _ in pairs if type(u) is not object and type(i) is not object]
    found = regressor.predict(np.array([(u, i) for u, i, _ in pairs], dtype=object))
    wanted = estimates(fitted(scale, triples, **kind), pairs)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3)


PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "n_factors": st.sampled_from(["auto", 1, 7, (3, 2), (5, 4, 3), 0, (), "x", 2.5, True]),
        "n_epochs": st.sampled_from([1, 3, 0, -1, "x"]),
        "variant": st.sampled_from(["item", "user", "hybrid", "both"]),
        "item_weight": st.sampled_from(["auto", 0, 0.3, 1, 2, float("nan")]),
        "two_sided": st.booleans(),
        "n_estimators": st.sampled_from([1, 2, 0]),
        "biased": st.booleans(),
        "bsl_options": st.sampled_from(
            [
                None,
                {},
                {"method": "sgd", "n_epochs": 1},
                {"reg_u": 0, "reg_i": 0},
                {"reg_u": 1e300},
                {"x": 1},
                [],
            ]
        ),
        "encoder_activation": st.sampled_from(["identity", "sigmoid", "tanh", "relu", "elu", "selu", "x"]),
        "decoder_activation": st.sampled_from(["identity", "sigmoid", "tanh", "relu", "elu", "selu", None]),
        "lr_all": st.sampled_from(["auto", 1e-300, 1e-3, 1.0, 1e3, 1e30, 0, float("inf")]),
        "reg_all": st.sampled_from(["auto", 0, 1e-300, 1.0, 1e6, 1e300, -1, 10**400]),
        "reg_bias": st.sampled_from(["auto", 0, 1.0, 1e300, -1]),
        "dropout": st.sampled_from([0, 0.5, 0.999999, 1]),
        "input_centering": st.sampled_from(["auto", 0, 0.5, 1, 2]),
        "input_scaling": st.sampled_from([0, 0.5, 1, 5, -1]),
        "averaging": st.sampled_from([0, 0.5, 0.999999, 1]),
        "optimizer": st.sampled_from(["adam", "sgd", "rprop", "lbfgs", "x"]),
        "batch_size": st.sampled_from(["auto", 1, 2, 10**9, 0]),
        "early_stopping": st.booleans(),
        "validation_fraction": st.sampled_from([1e-9, 0.1, 0.999999, 0, 1]),
        "n_iter_no_change": st.sampled_from([1, 5, 0]),
        "tol": st.sampled_from([0, 1e-4, 1e9, -1]),
        "precision": st.sampled_from(["auto", "float32", "bfloat16", "float16"]),
        "random_state": st.sampled_from([0, 2**31 - 1, "x"]),
    },
)


@settings(PROFILE, max_examples=150 * THOROUGH)
@given(PARAMETERS, ratings(ids=st.integers(0, 9)))
def test_parameters_give_a_model_or_an_error_that_names_them(parameters, given_ratings):
    (low, high), triples = given_ratings
    try:
        algorithm = AutoRec(**{**TINY, **parameters}).fit(trainset_of((low, high), triples))
    except (DivergenceError, ValueError) as error:
        names = ["lower lr_all"] if isinstance(error, DivergenceError) else list(parameters)
        if not any(name in str(error) for name in names):
            raise
        return
    found = estimates(algorithm, pairs_of(triples))
    assert ((found >= low) & (found <= high)).all()
    own = {triples[0][1]: triples[0][2]}
    assert np.isfinite(algorithm.predict_new_user(own, [triples[0][1], triples[1][1]])).all()


class Life(RuleBasedStateMachine):
    """An algorithm that is fitted, trained further, saved, loaded and asked in any order."""

    def __init__(self):
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "model"
        self.saved = None
        self.has_ratings = False

    def teardown(self):
        self.folder.cleanup()

    @initialize(given_ratings=ratings(ids=st.integers(0, 6), scale=(1.0, 5.0)), kind=KINDS)
    def make(self, given_ratings, kind):
        _, self.triples = given_ratings
        self.algorithm = AutoRec(**{**TINY, **kind, "n_epochs": 1})
        self.fit()

    @rule()
    def fit(self):
        self.algorithm.fit(trainset_of((1, 5), self.triples))
        self.has_ratings, self.answers = True, None

    @precondition(lambda self: self.has_ratings)
    @rule(more=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 5)), max_size=4))
    def partial_fit(self, more):
        more = list({(u, i): (u, i, float(r)) for u, i, r in more}.values())
        self.algorithm.partial_fit(more, n_epochs=1)
        self.triples = list({(u, i): (u, i, r) for u, i, r in [*self.triples, *more]}.values())
        self.answers = None

    @precondition(lambda self: not self.has_ratings)
    @rule()
    def partial_fit_without_ratings(self):
        with pytest.raises(ValueError, match="does not have the ratings"):
            self.algorithm.partial_fit([(0, 0, 3.0)])

    @rule()
    def fit_is_stopped_by_an_error(self):
        class Failing:
            def on_epoch_end(self, _):
                raise RuntimeError

        self.algorithm.callbacks = [Failing()]
        with pytest.raises(RuntimeError):
            self.algorithm.fit(trainset_of((1, 5), self.triples[:2]))
        self.algorithm.callbacks = ()

    @rule()
    def save(self):
        self.algorithm.save(self.path)
        self.saved = (list(self.triples), self.current())

    @precondition(lambda self: self.saved)
    @rule()
    def load(self):
        self.algorithm, self.has_ratings = load(self.path), False
        self.triples, self.answers = list(self.saved[0]), self.saved[1]

    @rule()
    def copy(self):
        self.algorithm = pickle.loads(pickle.dumps(self.algorithm))

    @rule(n=st.integers(1, 20))
    def recommend(self, n):
        rated = {(u, i) for u, i, _ in self.triples}
        table = self.algorithm.recommend(n=n)
        assert not rated & set(zip(table["user"], table["item"], strict=True))
        assert (table.groupby("user").size() <= n).all()

    @rule()
    def refuse(self):
        with pytest.raises(ValueError, match="scale"):
            self.algorithm.predict_new_user({0: 6}, [0])

    def current(self):
        return estimates(self.algorithm, [(u, i, None) for u in range(10) for i in range(10)]).tolist()

    @invariant()
    def answers_change_only_where_it_is_trained(self):
        if not hasattr(self, "algorithm"):
            return
        answers = self.current()
        assert self.answers is None or self.answers == answers
        self.answers = answers
        assert set(self.algorithm.model_.user_ids) == {u for u, _, _ in self.triples}
        assert len(self.algorithm.model_.rated.items) == len(self.triples)


def test_the_life_of_an_algorithm():
    with warnings.catch_warnings():
        run_state_machine_as_test(
            Life, settings=settings(PROFILE, max_examples=20 * THOROUGH, stateful_step_count=15)
        )


def test_stop_training_is_not_an_error():
    """What callbacks may raise, unlike in the life above."""

    class Stopping:
        def on_epoch_end(self, _):
            raise StopTraining

    assert fitted((1, 5), [(0, 0, 1.0), (0, 1, 2.0)], callbacks=[Stopping()]).n_iter_ == 1
