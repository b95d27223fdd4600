"""Make `utils/data/transcoders/`: a transcoder of every block of the specimen, with log and evaluation.

    python -m utils.authoring.recipes.transcoders                       all blocks (about five hours of one core)
    python -m utils.authoring.recipes.transcoders --blocks 0-5,12       some of them
    python -m utils.authoring.recipes.transcoders --tokens 3000000      longer; --width, --k, --l0, --skip, --seed too
    python -m utils.authoring.recipes.transcoders --dtype float32       as they were trained, not as a byte a number
    python -m utils.authoring.recipes.transcoders --only evaluate       the table of those that are there

Blocks are trained in groups of --group, on one reading of the corpus's training works for the whole group. Stop it
when you like and start it again with the same options: blocks whose file is there are skipped, what was begun of a
group starts again, and so it is with the evaluation. Which blocks share a group makes no difference to any of them.

Beside the files: log.json (block -> the training log) and evaluation.json (what `utils.standin.evaluation` measures on
held-out works, as trained and as stored; the loss with one MLP replaced, and with all of them, beside both ablations).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from utils import standin
from utils.authoring.recipes.sae import held_out_sample, training_texts
from utils.datasets import corpus
from utils.home import write_whole
from utils.sae.evaluation import LossRecovered
from utils.sae.training import Record
from utils.sealed import SEAL, read_unsealed
from utils.statistics import bootstrap

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

ROOT = Path(__file__).resolve().parents[3]
OUTPUT = ROOT / "utils" / "data" / "transcoders"
MODEL_NAME = "SmolLM2-135M-Instruct (Q4_1, dequantised)"
GROUP = 6  # blocks on one reading: about 150 MB each, for the buffer and while it is mixed
N_LOSS_TEXTS = 40  # held-out excerpts whose next-token loss is measured, spread over the sources
N_MEAN_TEXTS = 200  # training excerpts for the means of mean ablation
LOGGED = 50  # steps between two lines of the log that is kept


def block_list(said: str) -> list[int]:
    """Blocks from words such as "0-5,12". Raises ValueError for anything else."""
    found: list[int] = []
    for part in said.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"blocks must be as 0-5,12, got {said!r}")
        found += range(int(first), int(last if dash else first) + 1)
    return sorted(set(found))


# ------------------------------------------------------------------------------------------------------- training


def make(
    model: TransformerBridge,
    texts: Sequence[Any],
    held_out: Sequence[Any],
    folder: Path,
    blocks: Sequence[int],
    plan: standin.Plan,
    *,
    group: int = GROUP,
    dtype: Literal["float32", "float16", "int8"] = "int8",
    device: str = "cpu",
    say: Callable[[str], None] = print,
) -> None:
    """Train the blocks that have no file in the folder yet, a group at a time.

    Raises ValueError, before anything is trained, if a block's file is there and was made with another plan, from other
    texts or for another model: a set of which some were trained otherwise is no set.
    """
    digest = hashlib.sha256(json.dumps([_plain(text) for text in texts]).encode()).hexdigest()
    notes = {"plan": asdict(plan), "texts_sha256": digest}
    done = [block for block in blocks if standin.block_file(folder, block).is_file()]
    for block in done:
        there = standin.notes_of(folder, block)
        made_with = {name: there["notes"].get(name) for name in notes} | {"dtype": there["dtype"]}
        if made_with != notes | {"dtype": dtype}:
            raise ValueError(
                f"{standin.block_file(folder, block)} was made with other options or from other texts: give the same "
                "ones, another --output, or delete it"
            )
    if done:
        standin.load_transcoders(folder, model=model, blocks=done)  # of another model, cut or altered: say so now
        say(f"there already: blocks {', '.join(map(str, done))}")
    left = [block for block in blocks if block not in done]
    for start in range(0, len(left), group):
        part = left[start : start + group]
        began = time.monotonic()
        say(f"blocks {part[0]} to {part[-1]}: training on {plan.tokens:,} tokens")
        trained = standin.train_transcoders(
            model,
            texts,
            part,
            plan,
            device=device,
            on_record=lambda block, line: _show(block, line, say),
            progress=False,
        )
        fits = standin.block_fits(model, {block: one.transcoder for block, one in trained.items()}, held_out)
        for block, one in trained.items():
            _note(folder / "log.json", block, _kept_log(one.log))
            counts = {"n_read": one.n_read, "n_massive": one.n_massive, "as_trained": asdict(fits[block])}
            standin.save_transcoders(
                *({block: one.transcoder}, folder),
                model=model,
                model_name=MODEL_NAME,
                dtype=dtype,
                notes=notes | counts,
            )
            say(f"block {block}: unexplained {fits[block].unexplained:.3f} held out, L0 {fits[block].l0:.1f}")
        say(f"blocks {part[0]} to {part[-1]}: {time.monotonic() - began:.0f} s")


def _plain(text: Any) -> Any:
    return text if isinstance(text, str) else [int(token) for token in text]


def _show(block: int, line: Record, say: Callable[[str], None]) -> None:
    if line.step % 100 == 0:
        said = f"block {block} step {line.step}: loss {line.loss:.1f}, unexplained {line.unexplained:.3f}"
        say(f"{said}, L0 {line.l0:.1f}, dead {line.dead:.3f}, {line.seconds:.0f} s")


def _kept_log(log: Sequence[Record]) -> list[dict[str, Any]]:
    return [asdict(line) for line in log if line.step % LOGGED == 0 or line is log[-1]]


def _note(path: Path, key: Any, value: Any) -> dict[str, Any]:
    """Put one entry into a JSON file, which is written whole or not at all; blocks in order."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    known[str(key)] = value
    known = dict(sorted(known.items(), key=lambda item: (not item[0].isdecimal(), item[0].zfill(4))))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(known, indent=1, allow_nan=False) + "\n")
    return known


# ------------------------------------------------------------------------------------------------------ evaluation


def evaluate(
    model: TransformerBridge,
    texts: Sequence[Any],
    held_out: Sequence[Any],
    loss_texts: Sequence[Any],
    folder: Path,
    blocks: Sequence[int],
    *,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measure what is in the files, block by block, then all together; what was measured of the same files is kept.

    texts: training texts, for the means; held_out: for FVU; loss_texts: for the losses. Returns the table.
    """
    path = folder / "evaluation.json"
    table = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = standin.load_transcoders(folder, model=model, blocks=blocks)
    # The seal, of what is said and not of the file: safetensors puts its header in another order every time.
    files = {block: read_unsealed(standin.block_file(folder, block))[1][SEAL] for block in blocks}
    left = [block for block in blocks if table.get(str(block), {}).get("sha256") != files[block]]
    together = hashlib.sha256("".join(files.values()).encode()).hexdigest()
    if not left and table.get("all", {}).get("sha256") == together:
        return table
    bounds = {block: one.massive_norm for block, one in found.items()}
    means = standin.output_means(model, texts, list(blocks), bounds=bounds)
    fits = standin.block_fits(model, {block: found[block] for block in left}, held_out) if left else {}
    for block in left:
        loss = standin.replaced_loss(model, {block: found[block]}, loss_texts, means, progress=False)
        said = standin.notes_of(folder, block)
        entry = {"sha256": files[block], "stored_as": said["dtype"], "stored": asdict(fits[block])}
        entry |= {"as_trained": said["notes"].get("as_trained"), "replaced": replaced(loss)}
        table = _note(path, block, entry)
        say(f"block {block}: {_line(entry)}")
    loss = standin.replaced_loss(model, found, loss_texts, means, progress=False)
    table = _note(path, "all", {"sha256": together, "blocks": list(blocks), "replaced": replaced(loss)})
    say(f"all {len(blocks)} together: {_line(table['all'])}")
    return table


def replaced(loss: LossRecovered) -> dict[str, Any]:
    """A measurement as it is kept: the four losses, shares recovered with 95 % intervals over texts, and the counts."""
    table = np.array(loss.per_text)

    def share(ablated: int) -> Callable[[np.ndarray], float]:
        def statistic(rows: np.ndarray) -> float:
            clean, spliced, worst = (np.average(rows[:, i], weights=rows[:, 0]) for i in (1, 2, ablated))
            return float((worst - spliced) / (worst - clean))

        return statistic

    kept: dict[str, Any] = {name: getattr(loss, name) for name in ("clean", "spliced", "mean", "zero", "n", "n_left")}
    kept["texts"] = len(table)
    for name, column in (("mean", 3), ("zero", 4)):
        worse = loss.mean if name == "mean" else loss.zero
        # Where an ablation costs next to nothing, a share of it means nothing: the losses above say what there is.
        kept[f"recovered_against_{name}"] = str(bootstrap(table, share(column))) if worse - loss.clean > 1e-3 else None
    return kept


def _line(entry: dict[str, Any]) -> str:
    losses = entry["replaced"]
    said = ", ".join(f"{name} {losses[name]:.3f}" for name in ("clean", "spliced", "mean", "zero"))
    if "stored" not in entry:
        return said
    before = entry["as_trained"]["unexplained"] if entry["as_trained"] else float("nan")
    return f"unexplained {before:.3f} as trained, {entry['stored']['unexplained']:.3f} as stored; {said}"


# ------------------------------------------------------------------------------------------------- the command line


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for; ends with a message for what isn't understood."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", help="as 0-5,12; all if left out")
    parser.add_argument("--tokens", type=int, default=2_000_000, help="of training, with repeats")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--k", type=int, default=32, help="latents on at a token; 0 for JumpReLU")
    parser.add_argument("--l0", type=float, default=0.0, help="JumpReLU: the price of a latent that is on")
    parser.add_argument("--skip", action="store_true", help="with a linear skip")
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--buffer", type=int, default=16_384)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--group", type=int, default=GROUP, help="blocks on one reading")
    parser.add_argument("--dtype", choices=("int8", "float16", "float32"), default="int8")
    parser.add_argument("--device", default="cpu", help="where the model and the transcoders are")
    parser.add_argument("--texts", type=int, help="only so many texts of each kind, to try it out")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--only", choices=("train", "evaluate"))
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    from utils.models import load_model

    asked = options(arguments)
    plan = standin.Plan(
        **{"width": asked.width, "k": asked.k or None, "l0": asked.l0, "skip": asked.skip, "tokens": asked.tokens},
        **{"batch": asked.batch, "buffer": asked.buffer, "seed": asked.seed},
    )
    model = load_model(device=asked.device)
    blocks = block_list(asked.blocks) if asked.blocks else list(range(model.cfg.n_layers))
    few = asked.texts
    texts, held_out = training_texts()[:few], [row.text for row in corpus("held_out")][:few]
    loss_texts = [row.text for row in held_out_sample(min(few or N_LOSS_TEXTS, N_LOSS_TEXTS))]

    def say(line: str) -> None:
        print(line, flush=True)

    if asked.only != "evaluate":
        make(
            *(model, texts, held_out, asked.output, blocks, plan),
            **{"group": asked.group, "dtype": asked.dtype, "device": asked.device, "say": say},
        )
    if asked.only != "train":
        evaluate(model, texts[:N_MEAN_TEXTS], held_out, loss_texts, asked.output, blocks, say=say)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
