"""Training a sparse autoencoder, timed beside the matrix products of a naive step, and beside SAELens.

    python -m utils.authoring.benchmarks sae_training_vs_matmul
    make bench-sae      beside SAELens, in an environment of its own (SAELens needs TransformerLens below 4)

`make bench-sae` also proves that both read each other's files: latents of the same SAE, loaded by one and by the
other, must agree to 1e-4. It writes build/bench-sae.json, from which `make report` takes the figure.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.authoring.benchmarks import benchmark, compare

if TYPE_CHECKING:
    import torch

    from utils.sae import TopKSAE

ROOT = Path(__file__).resolve().parents[3]
RESULT = ROOT / "build" / "bench-sae.json"
DICTIONARY, SHIPPED = ROOT / "utils" / "data" / "sae" / "block12", "the shipped dictionary, read by SAELens"
NAME = "sae_training_vs_saelens"
D_MODEL, D_SAE, K, BATCH = 576, 4096, 32, 2048
STEPS = 4  # in one timed run
TOLERANCE = 1e-4  # between our latents and SAELens's


def _batches() -> list[torch.Tensor]:
    """Made-up activations, (2,048, 576), already of length sqrt(d_model)."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return [torch.randn(BATCH, D_MODEL, generator=generator) for _ in range(STEPS)]


def _our_run(batches: list[torch.Tensor]) -> Callable[[], Any]:
    """STEPS steps of `train` as it comes: checks, scaling, loss, backward, clipping, Adam, unit rows, counting."""
    from utils.sae import Settings, TopKSAE, train

    sae = TopKSAE(D_MODEL, D_SAE, k=K)
    fresh = {name: value.clone() for name, value in sae.state_dict().items()}

    def run() -> TopKSAE:
        sae.load_state_dict(fresh)
        sae.tokens_since_fired.zero_()
        train(sae, batches, Settings(STEPS), scale=1.0, log_every=STEPS, progress=False)
        return sae

    return run


def _beside(ours: Callable[[], Any], peer: Callable[[], Any], note: str) -> dict[str, Any]:
    """`compare` with as many threads as PyTorch takes, and in the note the ratio with one."""
    import torch

    n = torch.get_num_threads()
    work = STEPS * BATCH
    result = compare(ours, peer, work=work, unit="tokens/s", note="", n=5)
    torch.set_num_threads(1)
    try:
        single = compare(ours, peer, work=work, unit="tokens/s", note="", n=3)
    finally:
        torch.set_num_threads(n)
    result["note"] = (
        f"{STEPS} steps of {BATCH:,} at {D_MODEL} -> {D_SAE:,}, k {K}, Adam included; {n} thread(s) on both sides, "
        f"with one {single['ours']:.0f} against {single['peer']:.0f}, {single['ratio']:.2f} times (n = 3); {note}"
    )
    return result


@benchmark("sae_training_vs_matmul")
def sae_training_vs_matmul() -> dict[str, Any]:
    """A TopK training step, optimiser and all, against the five dense products of a naive step, and nothing else."""
    import torch

    batches = _batches()
    _agrees_with_dense(batches[0])
    latents, W_enc, W_dec = torch.randn(BATCH, D_SAE), torch.randn(D_MODEL, D_SAE), torch.randn(D_SAE, D_MODEL)

    def peer() -> None:
        for x in batches:
            x @ W_enc  # encode
            latents @ W_dec  # decode
            x @ W_dec.t()  # gradient of the latents (x stands for an error of its shape)
            latents.t() @ x  # gradient of W_dec
            x.t() @ latents  # gradient of W_enc

    return _beside(_our_run(batches), peer, "peer: the products and nothing else; same loss and gradients as dense")


def _agrees_with_dense(x: torch.Tensor) -> None:
    """The loss and gradients of our step against those of the naive one."""
    import torch

    from utils.sae import TopKSAE

    sae = TopKSAE(D_MODEL, D_SAE, k=K)
    losses = sae.loss(x)
    losses.total.backward()
    found = [parameter.grad.clone() for parameter in sae.parameters() if parameter.grad is not None]
    sae.zero_grad()
    dense = (x - sae(x)).square().sum(-1).mean()
    dense.backward()
    torch.testing.assert_close(losses.total, dense, rtol=1e-4, atol=1e-3)
    for ours, parameter in zip(found, sae.parameters()):
        torch.testing.assert_close(ours, parameter.grad, rtol=1e-3, atol=1e-4)


# ------------------------------------------------------------------------------- beside SAELens (make bench-sae)


def sae_training_vs_saelens() -> dict[str, Any]:
    """Our `train` against steps of SAELens's SAETrainer on its TopKTrainingSAE: same width, k, batches, threads.

    Its other way, use_sparse_activations, stops in the first step: PyTorch 2.13 lacks an operation for it on a CPU.
    """
    import sae_lens
    from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    batches = _batches()

    config = TopKTrainingSAEConfig(d_in=D_MODEL, d_sae=D_SAE, k=K)
    sae = TopKTrainingSAE(config)
    fresh = {name: value.clone() for name, value in sae.state_dict().items()}
    settings = SAETrainerConfig(total_training_samples=STEPS * BATCH, train_batch_size_samples=BATCH, lr_end=1e-4)

    def peer() -> None:
        sae.load_state_dict(fresh)
        trainer = SAETrainer(settings, sae, iter(batches))
        for batch in batches:
            trainer.step(batch)
            trainer.n_training_steps += 1

    note = f"peer: SAETrainer of sae-lens {sae_lens.__version__} with its TopKTrainingSAE as it comes"
    return _beside(_our_run(batches), peer, note)


def interchange() -> dict[str, float]:
    """Largest difference between our latents and SAELens's, for each kind and direction; latents are about 1.

    For the shipped dictionary, whose latents are in the model's units, as a share of its largest latent.
    Raises AssertionError above 1e-4, for reconstructions too.
    """
    import torch

    found = {}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        pairs = _ours_read_by_saelens(Path(folder)) | _theirs_read_by_us(Path(folder)) | _shipped()
        for name, (ours, theirs) in pairs.items():
            x = torch.randn(500, ours.d_model, generator=torch.Generator().manual_seed(0))
            scale = 1.0
            if name == SHIPPED:
                x = 6 * x + ours.b_dec  # about as long as the specimen's residuals
                scale = float(ours.encode(x).max())
            latents, reconstruction = theirs.encode(x), theirs(x)
            share = float((latents > 0).float().mean())
            if not 0.005 < share < 0.9:
                raise AssertionError(f"{name}: {share:.1%} of latents are on, which proves little")
            found[name] = float((ours.encode(x) - latents).abs().max()) / scale
            difference = max(found[name], float((ours(x) - reconstruction).abs().max()) / scale)
            if difference > TOLERANCE:
                raise AssertionError(f"{name}: ours and SAELens's differ by {difference:.1e}")
    return found


def _shaken(sae: Any, seed: int = 1) -> Any:
    """Every parameter away from where it starts, so that one that is left out or misread makes a difference."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            if name not in ("threshold", "log_threshold"):
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return sae


def _ours_read_by_saelens(folder: Path) -> dict[str, tuple[Any, Any]]:
    import torch
    from sae_lens import SAE

    from utils import sae as lab

    kinds: dict[str, Any] = {
        "ReLU": lab.ReLUSAE(24, 96, l1=1.0),
        "TopK": lab.TopKSAE(24, 96, k=8),
        "BatchTopK": lab.BatchTopKSAE(24, 96, k=8),
        "Matryoshka": lab.MatryoshkaSAE(24, 96, k=8, groups=(32, 96)),
        "JumpReLU": lab.JumpReLUSAE(24, 96),
        "Gated": lab.GatedSAE(24, 96, l1=1.0),
    }
    with torch.no_grad():
        kinds["BatchTopK"].threshold.fill_(0.7)
        kinds["Matryoshka"].threshold.fill_(0.9)
        kinds["JumpReLU"].log_threshold.copy_(torch.linspace(-2, 0.5, 96))
    pairs = {}
    for kind, ours in kinds.items():
        path = lab.save(
            _shaken(ours).eval(), folder / kind, hook="blocks.1.hook_resid_post", model_name="tiny", metadata={"x": 1}
        )
        theirs = SAE.load_from_disk(path)
        metadata = theirs.cfg.metadata
        if (metadata.hook_name, metadata.model_name, metadata.x) != ("blocks.1.hook_resid_post", "tiny", 1):
            raise AssertionError(f"{kind}: the metadata arrived as {metadata}")
        pairs[f"{kind}, ours read by SAELens"] = (ours, theirs)
    return pairs


def _shipped() -> dict[str, tuple[Any, Any]]:
    """The course's own dictionary of the specimen, float16 on disk, read as float32 by both."""
    from sae_lens import SAE

    from utils import sae as lab

    return {SHIPPED: (lab.load(DICTIONARY), SAE.load_from_disk(DICTIONARY, dtype="float32"))}


def _as_before_version_6(folder: Path) -> None:
    """Write a folder's configuration as SAELens 3 to 5 did, without the keys that came later."""
    path = folder / "cfg.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    old = {name: config[name] for name in ("d_in", "d_sae", "dtype", "device", "apply_b_dec_to_input")}
    k = config.get("k")
    old |= {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": k}} if k else {"activation_fn_str": "relu"}
    old |= {"hook_name": "blocks.1.hook_resid_post", "hook_layer": 1, "sae_lens_training_version": "5.10.7"}
    path.write_text(json.dumps(old), encoding="utf-8")


def _theirs_read_by_us(folder: Path) -> dict[str, tuple[Any, Any]]:
    import sae_lens
    import torch

    from utils import sae as lab

    size: dict[str, Any] = {"d_in": 24, "d_sae": 96}
    saes = {
        f"{kind}{' without b_dec' if not taken_off else ''}": getattr(sae_lens, f"{kind}SAE")(
            getattr(sae_lens, f"{kind}SAEConfig")(**size, apply_b_dec_to_input=taken_off, **extra)
        )
        for kind, extra in (("Standard", {}), ("TopK", {"k": 8}), ("JumpReLU", {}), ("Gated", {}))
        for taken_off in (True, False)
    }
    for name, sae in saes.items():
        if name.startswith("JumpReLU"):
            with torch.no_grad():
                sae.threshold.copy_(torch.linspace(0, 1, 96))
    rescaled = {"k": 8, "rescale_acts_by_decoder_norm": True}
    saes["TopK in units of decoder rows"] = sae_lens.TopKSAE(sae_lens.TopKSAEConfig(**size, **rescaled))
    pairs = {}
    for name, theirs in saes.items():
        path = folder / f"theirs {name}"
        _shaken(theirs).save_model(path)
        pairs[f"{name}, theirs read by us"] = (lab.load(path), theirs)
        if name in ("Standard", "TopK", "Standard without b_dec"):
            _as_before_version_6(path)
            pairs[f"{name}, of before version 6"] = (lab.load(path), sae_lens.SAE.load_from_disk(path))
    # And one as its trainer leaves it: trained as BatchTopK, saved for reading as JumpReLU.
    trained = sae_lens.BatchTopKTrainingSAE(sae_lens.BatchTopKTrainingSAEConfig(**size, k=8))
    _shaken(trained).topk_threshold.fill_(0.6)
    trained.save_inference_model(folder / "trained")
    pairs["BatchTopK, theirs read by us"] = (
        lab.load(folder / "trained"),
        sae_lens.SAE.load_from_disk(folder / "trained"),
    )
    return pairs


def kept() -> dict[str, dict[str, Any]]:
    """What the last `make bench-sae` found, as an entry for the report; nothing if it hasn't run here."""
    if not RESULT.exists():
        return {}
    return {NAME: json.loads(RESULT.read_text(encoding="utf-8"))[NAME]}


def main() -> int:
    """Run in the environment that `make bench-sae` makes: check the files, time the training, write the result."""
    os.environ.setdefault("WANDB_MODE", "disabled")  # SAELens imports wandb; nothing is to be sent
    try:
        import sae_lens  # noqa: F401
    except ImportError as error:
        print(f"{error}: run `make bench-sae`, which makes an environment that has it", file=sys.stderr)
        return 1
    found = interchange()
    width = max(map(len, found))
    print("\n".join(f"{name:<{width}}  latents differ by at most {value:.1e}" for name, value in found.items()))
    result = sae_training_vs_saelens()
    result["note"] += f"; {len(found)} SAEs read by both, latents differ by at most {max(found.values()):.0e}"
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({NAME: result, "interchange": found}, indent=1) + "\n", encoding="utf-8")
    print(f"{NAME}: {result['ours']} against {result['peer']} tokens/s, {result['ratio']} times ({result['note']})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
