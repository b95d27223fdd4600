"""Benchmark of the probe sweep: every layer's logistic probe, ours in one batched solve, scikit-learn's in a loop.

python -m utils.authoring.benchmarks probe_sweep_vs_sklearn
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator
from typing import Any

from utils.authoring.benchmarks import benchmark, compare

N_TRAIN = 1000
L2 = 1.0  # scikit-learn's default, C = 1
AS_EXACT = 1e-6  # scikit-learn's own, 1e-4, leaves its weights 1 to 3 % from the exact ones; ours are within 0.1 %
EVERY = 6  # what only the note reports runs on one layer in six


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Both sides with n threads: PyTorch's, and those of the libraries that NumPy and scikit-learn call."""
    import torch
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with threadpool_limits(limits=n):
            yield
    finally:
        torch.set_num_threads(before)


@benchmark("probe_sweep_vs_sklearn")
def probe_sweep_vs_sklearn() -> dict[str, Any]:
    """30 layers × 1,000 statements × 576 numbers, real activations; accuracy on 500 statements about other cities."""
    import numpy as np
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    from utils import datasets, probing
    from utils.models import load_model
    from utils.reading.activations import collect

    model = load_model(device="cpu")
    data = datasets.cities(375, ("is in", "lies outside"))
    hooks = [f"blocks.{i}.hook_resid_post" for i in range(model.cfg.n_layers)]
    found = collect(model, list(data.texts), hooks, positions="last", progress=False).acts
    acts, labels = torch.stack([found[hook] for hook in hooks]), torch.tensor(data.labels)
    names = sorted(set(map(str, data.groups)))
    order = {names[i]: place for place, i in enumerate(np.random.default_rng(0).permutation(len(names)))}
    rows = sorted(range(len(data)), key=lambda i: order[str(data.groups[i])])
    train, test = torch.tensor(rows[:N_TRAIN]), torch.tensor(rows[N_TRAIN:])
    X, y = acts[:, train].contiguous(), labels[train]
    X_test, y_test = acts[:, test].contiguous(), labels[test]
    target, truth = y.numpy(), y_test.numpy()

    def ours(every: int = 1) -> torch.Tensor:
        probe = probing.fit_logistic(X[::every], y, l2=L2)
        return probing.accuracy(probe.scores(X_test[::every]), y_test)

    def peer(every: int = 1, scale: bool = True, **options: Any) -> torch.Tensor:
        right = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without scaling it stops at max_iter and says so, layer after layer
            for layer, held_out in zip(X[::every].numpy(), X_test[::every].numpy()):
                scaler = StandardScaler(with_mean=scale, with_std=scale).fit(layer)
                fitted = LogisticRegression(C=1 / L2, max_iter=1000, **options).fit(scaler.transform(layer), target)
                right.append(fitted.score(scaler.transform(held_out), truth))
        return torch.tensor(right)

    def beside(**options: Any) -> str:
        """One run of another peer beside one of ours, on some layers: its accuracy, and how much faster we are."""
        start = time.perf_counter()
        right = peer(EVERY, **options).mean()
        theirs = time.perf_counter() - start
        start = time.perf_counter()
        ours(EVERY)
        return f"accuracy {right:.3f}, ours {theirs / (time.perf_counter() - start):.1f} times as fast"

    with threads(1):
        mine, theirs = ours().mean(), peer().mean()
    if abs(float(mine - theirs)) > 0.005:
        raise AssertionError(f"held-out accuracy differs by more than half a point: {mine:.4f} against {theirs:.4f}")
    # One thread each: matrices this small gain little from more, and on a busy machine threads wait for one another.
    with threads(1):
        result = compare(ours, peer, work=len(X), unit="layers/s", note="", n=5)
        exact, raw = beside(tol=AS_EXACT), beside(scale=False)
    cores = torch.get_num_threads()
    with threads(cores):
        parallel = beside()
    result["note"] = (
        f"{len(X)} layers x {len(train)} x {X.shape[-1]}, L2 = 1, one thread on both sides; mean held-out accuracy "
        f"{mine:.3f} (ours), {theirs:.3f} (StandardScaler + LogisticRegression as it comes, the peer timed here). One "
        f"run on one layer in {EVERY}: the peer with weights about as exact as ours, tol = {AS_EXACT:g}: {exact}; "
        f"LogisticRegression on unscaled activations: {raw}; the peer as it comes, {cores} thread(s) on both sides: "
        f"{parallel}"
    )
    return result
