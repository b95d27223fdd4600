"""Benchmark of the probe sweep: every layer's logistic probe, ours in one batched solve, scikit-learn's in a loop.

python -m utils.authoring.benchmarks probe_sweep_vs_sklearn
"""

from __future__ import annotations

import warnings
from typing import Any

from utils.authoring.benchmarks import benchmark, compare

N_TRAIN = 1000
L2 = 1.0  # scikit-learn's default, C = 1


@benchmark("probe_sweep_vs_sklearn")
def probe_sweep_vs_sklearn() -> dict[str, Any]:
    """30 layers × 1,000 statements × 576 numbers, real activations; accuracy on 500 statements about other cities."""
    import numpy as np
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    from utils import datasets, probing
    from utils.activations import collect
    from utils.models import load_model

    model = load_model(device="cpu")
    data = datasets.cities(375, ("is in", "lies outside"))
    hooks = [f"blocks.{i}.hook_resid_post" for i in range(model.cfg.n_layers)]
    found = collect(model, list(data.texts), hooks, positions="last", progress=False).acts
    acts, labels = torch.stack([found[hook] for hook in hooks]), torch.tensor(data.labels)
    names = sorted(set(data.groups))
    np.random.default_rng(0).shuffle(names)
    order = {name: i for i, name in enumerate(names)}
    rows = sorted(range(len(data)), key=lambda i: order[data.groups[i]])
    train, test = torch.tensor(rows[:N_TRAIN]), torch.tensor(rows[N_TRAIN:])
    X, y = acts[:, train].contiguous(), labels[train]
    X_test, y_test = acts[:, test].contiguous(), labels[test]
    arrays, target = [layer.numpy() for layer in X], y.numpy()

    def ours() -> torch.Tensor:
        probe = probing.fit_logistic(X, y, l2=L2)
        return probing.accuracy(probe.scores(X_test), y_test)

    def peer(scale: bool = True) -> torch.Tensor:
        right = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without scaling it stops at max_iter and says so, 30 times
            for layer, held_out in zip(arrays, X_test):
                scaler = StandardScaler(with_mean=scale, with_std=scale).fit(layer)
                fitted = LogisticRegression(C=1 / L2, max_iter=1000).fit(scaler.transform(layer), target)
                right.append(fitted.score(scaler.transform(held_out.numpy()), y_test.numpy()))
        return torch.tensor(right)

    mine, theirs, raw = ours().mean(), peer().mean(), peer(scale=False).mean()
    if abs(float(mine - theirs)) > 0.005:
        raise AssertionError(f"held-out accuracy differs by more than half a point: {mine:.4f} against {theirs:.4f}")
    plain = compare(ours, lambda: peer(scale=False), work=len(X), unit="layers/s", note="", n=1)
    result = compare(ours, peer, work=len(X), unit="layers/s", note="", n=3)
    result["note"] = (
        f"{len(X)} layers x {len(train)} x {X.shape[-1]}, L2 = 1; mean held-out accuracy {mine:.3f} (ours), "
        f"{theirs:.3f} (StandardScaler + LogisticRegression, the peer timed here); LogisticRegression on unscaled "
        f"activations: accuracy {raw:.3f}, and ours is {plain['ratio']} times as fast"
    )
    return result
