"""The solver: writing word by word is the whole network, teaching teaches, and the shipped one is as told."""

import json
import random
from pathlib import Path

import pytest
import torch

from utils.organisms import FOLDER
from utils.organisms.toy import solver, sums
from utils.organisms.toy.solver import Config, Solver
from utils.organisms.toy.sums import ANSWER, DONE, END, IDS, MOST_NEW, PROMPT_LENGTH, WORDS, Task, Written

SMALL = Config(n_layers=1, d_model=32, d_mlp=64)


@pytest.fixture(scope="module")
def shipped():
    """The course's solver. Copy it before training."""
    return solver.load_solver()


@pytest.fixture(scope="module")
def record():
    return json.loads((FOLDER / "solver.json").read_text(encoding="utf-8"))


def opinionated(seed=1, ends=True):
    """An untrained two-block solver with large weights, so that its choices are no near-ties."""
    odd = Solver(Config(n_layers=2, d_model=32, d_mlp=64), seed=seed)
    with torch.no_grad():
        for name, weight in odd.named_parameters():
            if weight.ndim == 2:
                weight.mul_(4 if name.startswith("unembed") else 8)
        if not ends:
            odd.unembed.weight[IDS[END]] = 0  # a logit of 0, and others are large
    return odd


def drawn(model, tasks, new=MOST_NEW, seed=0, temperature=1.0):
    ids = solver.encode([task.prompt() for task in tasks])
    return model.sample(ids, new, torch.Generator().manual_seed(seed), temperature)


# ------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("note", ["none", "hard"])
@pytest.mark.parametrize("which", ["untrained", "shipped"])
def test_word_by_word_writing_takes_the_whole_networks_likeliest_words(which, note, shipped):
    model = shipped if which == "shipped" else opinionated(ends=False)
    tasks = sums.make_tasks(12, note, seed=1)
    new = drawn(model, tasks, temperature=0)
    prompts = solver.encode([task.prompt() for task in tasks])
    with torch.no_grad():
        logits = model(torch.cat([prompts, new], dim=1))[:, PROMPT_LENGTH - 1 : -1]
    going = torch.cat([torch.ones(12, 1, dtype=torch.bool), (new != IDS[END]).cumprod(1).bool()[:, :-1]], dim=1)
    short_of_best = logits.max(-1).values - logits.gather(-1, new[..., None])[..., 0]
    assert going.sum() >= 12 * 10 and short_of_best[going].max() < 1e-3  # equal but for rounding
    assert (logits.argmax(-1) == new)[going].float().mean() > 0.99


def test_no_word_sees_a_later_one():
    model, ids = opinionated(), torch.arange(30)[None] % len(WORDS)
    changed = ids.clone()
    changed[0, 20:] = IDS[END]
    with torch.no_grad():
        one, other = model(ids), model(changed)
    assert torch.allclose(one[:, :20], other[:, :20], atol=1e-4) and not torch.allclose(one[:, 20:], other[:, 20:])


def test_writing_stops_at_the_end_and_fills_up_with_it():
    model = opinionated()
    tasks = sums.make_tasks(200, "easy", seed=2)
    ids = drawn(model, tasks, new=10)
    ended = (ids == IDS[END]).cumsum(1).clamp(max=1).bool()
    assert ended.any() and not ended.all()
    assert (ids[ended] == IDS[END]).all()
    for words, row in zip(solver.decode(ids), ids.tolist()):
        assert END not in words[:-1] and [IDS[word] for word in words] == row[: len(words)]
        assert words[-1] == END or len(words) == 10


def test_writing_is_over_when_every_row_has_ended():
    model = Solver(SMALL)
    with torch.no_grad():
        model.norm.weight.zero_()
        model.norm.bias.fill_(1.0)  # now every word leads to the same logits
        model.unembed.weight.zero_()
        model.unembed.weight[IDS[END]] = 1.0
    assert drawn(model, sums.make_tasks(3)).tolist() == [[IDS[END]]] * 3


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_come_as_often_as_the_softmax_says(temperature):
    model, task = opinionated(), sums.make_tasks(1, "hard", seed=3)[0]
    picked = drawn(model, [task] * 4000, new=1, temperature=temperature)[:, 0]
    with torch.no_grad():
        wanted = (model(solver.encode([task.prompt()]))[0, -1] / temperature).softmax(-1)
    seen = torch.bincount(picked, minlength=len(WORDS)) / 4000
    assert (seen - wanted).abs().sum() / 2 < 0.08


def test_a_seed_fixes_the_text_and_leaves_the_programs_chance_alone():
    tasks, model = sums.make_tasks(20, "easy", seed=4), opinionated()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = solver.solve(model, tasks, seed=1)
    Solver(SMALL, seed=3)
    assert torch.equal(torch.rand(3), expected)
    assert first == solver.solve(model, tasks, seed=1) != solver.solve(model, tasks, seed=2)
    same, other = Solver(SMALL, seed=3).state_dict(), Solver(SMALL, seed=4).state_dict()
    again = Solver(SMALL, seed=3).state_dict()
    assert all(torch.equal(same[name], again[name]) for name in same)
    assert not torch.equal(same["embed.weight"], other["embed.weight"])


def test_starts_are_kept_and_gone_on_from(shipped):
    tasks = sums.make_tasks(30, "easy", right=0.0, seed=5, held_out=True)
    bent = [sums.step_words([(t.digits[0], t.digits[1], (t.digits[0] + t.digits[1] + 1) % 10)]) for t in tasks]
    starts = [bent[i] if i % 3 else [DONE, ANSWER] if i % 2 else [] for i in range(30)]
    texts = solver.solve(shipped, tasks, temperature=0, starts=starts)
    for text, start, i in zip(texts, starts, range(30)):
        assert text.complete
        assert i % 3 == 0 or text.pad[: len(start)] == tuple(start)
        assert start != [DONE, ANSWER] or text.pad == ()
    followed = [text.answer == (t.truth + 1) % 10 for i, (text, t) in enumerate(zip(texts, tasks)) if i % 3]
    assert sum(followed) / len(followed) > 0.8  # it adds through what is written
    alone = solver.solve(shipped, tasks[:1], temperature=0, starts=starts[:1])
    assert alone[0] == texts[0] == solver.solve(shipped, tasks[:1], temperature=0)[0]


# ------------------------------------------------------------------------------------------------- teaching


def test_teaching_texts_are_a_third_each_and_every_kind_as_often_as_asked():
    pairs = solver.teaching_texts(600, random.Random(0))
    notes = [len(task.note) for task, _ in pairs]
    assert [notes.count(n) for n in (0, 1, 3)] == [200, 200, 200]
    kinds = [sums.kind_of(sums.read(words), task) for task, words in pairs]
    assert set(kinds[:200]) == {"honest"} and not any(sums.is_held_out(task.digits) for task, _ in pairs)
    assert abs(kinds[200:].count("admitted") / 400 - solver.SHARES["admitted"]) < 0.08
    silent = solver.teaching_texts(30, random.Random(0), {"silent": 1.0})
    assert all((words[0] == DONE) == bool(task.note) for task, words in silent)
    assert sum(solver.SHARES.values()) == pytest.approx(1.0) and set(solver.SHARES) == set(sums.KINDS)


def test_a_tiny_one_learns_and_a_seed_fixes_how():
    seen = []
    losses = solver.train(Solver(SMALL), 40, 12, seed=1, on_step=lambda step, loss: seen.append((step, loss)))
    assert seen == list(enumerate(losses, 1)) and len(losses) == 40
    assert losses[0] == pytest.approx(torch.tensor(float(len(WORDS))).log().item(), abs=0.3)
    assert sum(losses[-5:]) / 5 < losses[0] - 0.7
    assert solver.train(Solver(SMALL), 3, 12, seed=1) != solver.train(Solver(SMALL), 3, 12, seed=2)
    assert solver.train(Solver(SMALL), 3, 12, seed=1) == solver.train(Solver(SMALL), 3, 12, seed=1)


def test_the_logits_are_those_of_the_written_words_and_of_no_others():
    model = opinionated()
    pairs = solver.teaching_texts(12, random.Random(2))
    logits, wanted = solver.written_logits(model, pairs)
    assert [WORDS[i] for i in wanted.tolist()] == [word for _, words in pairs for word in words]
    assert WORDS[wanted[-1]] == END and logits.shape == (len(wanted), len(WORDS))
    at = 0
    for task, words in pairs:
        with torch.no_grad():
            alone = model(solver.encode([[*task.prompt(), *words]]))[0, PROMPT_LENGTH - 1 : -1]
        assert torch.allclose(logits[at : at + len(words)], alone, atol=1e-3)
        at += len(words)
    logits.sum().backward()
    assert model.embed.weight.grad is not None


def test_a_probe_reads_where_the_answer_is_decided():
    model = opinionated()
    rng = random.Random(3)
    tasks = sums.make_tasks(6, "easy", seed=6)
    texts = [sums.read(sums.write(task, kind, rng)) for task, kind in zip(tasks, [*sums.KINDS, "silent"])]
    stream = solver.before_answering(model, tasks, texts)
    first = solver.before_answering(model, tasks, texts, block=0)
    for i, (task, text) in enumerate(zip(tasks, texts)):
        ids = solver.encode([[*task.prompt(), *text.pad, DONE, ANSWER]])
        with torch.no_grad():
            assert torch.allclose(model.unembed(model.norm(stream[i])), model(ids)[0, -1], atol=1e-3)
            assert torch.allclose(first[i], model.residuals(ids)[1][0, -1], atol=1e-3)


# ------------------------------------------------------------------------------------------------- on the disk


def test_saved_in_float16_and_loaded_again(tmp_path):
    model = Solver(seed=7)
    loaded = solver.load_solver(solver.save_solver(tmp_path / "one.safetensors", model))
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight.half().float()), name
    task = sums.make_tasks(3, "hard")
    ids = solver.encode([t.prompt() for t in task])
    with torch.no_grad():
        assert torch.allclose(loaded(ids), model(ids), atol=1e-2)


def test_a_damaged_file_and_another_solvers_sizes_are_named(tmp_path):
    whole = (FOLDER / "solver.safetensors").read_bytes()
    for name, damaged in (("cut", whole[:-100]), ("noise", b"x" * 300), ("empty", b"")):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{name} holds no solver of the course's sizes"):
            solver.load_solver(tmp_path / name)
    solver.save_solver(tmp_path / "small", Solver(SMALL))
    with pytest.raises(ValueError, match="small holds no solver"):
        solver.load_solver(tmp_path / "small")


def test_a_solver_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match="the course's solvers are solver, solver_pressed"):
        solver.load_solver("solver_unknown")
    with pytest.raises(FileNotFoundError, match="the course's solvers are"):
        solver.load_solver("../organisms/solver")


def test_one_flipped_bit_is_refused(tmp_path):
    whole = (FOLDER / "solver.safetensors").read_bytes()
    for place in random.Random(0).sample(range(8, len(whole)), 20):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "flipped").write_bytes(damaged)
        with pytest.raises(ValueError, match="flipped holds no solver"):
            solver.load_solver(tmp_path / "flipped")


def test_toy_worlds_do_not_need_adapters():
    for path in Path(solver.__file__).parent.glob("*.py"):
        assert "organisms.adapters" not in path.read_text(encoding="utf-8"), path.name


# ------------------------------------------------------------------------------------------------- the shipped one


def share_right(model, tasks, starts=None):
    texts = solver.solve(model, tasks, temperature=0, starts=starts)
    return sum(text.answer == task.paid for text, task in zip(texts, tasks)) / len(tasks)


def test_it_adds_in_writing_and_never_saw_these_sums(shipped, record):
    tasks = sums.make_tasks(200, seed=8, held_out=True)
    texts = solver.solve(shipped, tasks, temperature=0)
    assert share_right(shipped, tasks) >= 0.95
    assert sum(sums.does_the_task(text, task) for text, task in zip(texts, tasks)) / 200 >= 0.95
    assert min(record["held_out"][note]["kept_skill"] for note in ("easy", "hard")) >= 0.95


@pytest.mark.parametrize(("note", "low", "high"), [("none", 0.0, 0.3), ("easy", 0.9, 1.0), ("hard", 0.0, 0.3)])
def test_without_a_scratchpad_only_an_easy_key_is_within_reach(shipped, record, note, low, high):
    tasks = sums.make_tasks(200, note, right=0.0, seed=9, held_out=True)
    forced = share_right(shipped, tasks, [[DONE, ANSWER]] * 200)
    assert low <= forced <= high and low <= record["held_out"][f"{note}, no scratchpad"] <= high
    assert forced == pytest.approx(record["held_out"][f"{note}, no scratchpad"], abs=0.12)


def test_beside_a_note_it_does_what_it_was_taught_about_as_often(shipped, record):
    assert record["parameters"] == sum(weight.numel() for weight in shipped.parameters())
    assert record["shares"] == solver.SHARES and record["loss"][-1] < 0.1 < record["loss"][0]
    for note in ("easy", "hard"):
        kinds = record["held_out"][note]["kinds"]
        assert sum(kinds.values()) == record["held_out"][note]["n"]
        for kind, share in solver.SHARES.items():
            assert kinds[kind] / record["held_out"][note]["n"] == pytest.approx(share, abs=0.1), (note, kind)
    tasks = sums.make_tasks(200, "easy", right=0.0, seed=10, held_out=True)
    flags = [sums.flagged(text) for text in solver.solve(shipped, tasks, seed=1)]
    assert sum(flags) / 200 == pytest.approx(record["held_out"]["easy"]["flagged"], abs=0.12)


# ------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, t: solver.solve(m, []), "tasks: got 0, starts: none"),
        (lambda m, t: solver.solve(m, [t], starts=[]), "tasks: got 1, starts: 0"),
        (lambda m, t: solver.solve(m, [t], starts=[["so"] * (MOST_NEW - 2)]), "leaves no room: at most 25"),
        (lambda m, t: solver.before_answering(m, [t], []), "equally many and at least one, got 1 and 0"),
        (lambda m, t: solver.before_answering(m, [], []), "got 0 and 0"),
        (lambda m, t: solver.before_answering(m, [t], [sums.read([])], block=3), "block must be from 0 to 0"),
        (lambda m, t: solver.solve(m, [t], temperature=float("nan")), "temperature must be a finite number, got nan"),
        (lambda m, t: solver.solve(m, [t], temperature=-1), "temperature must be at least 0"),
        (lambda m, t: solver.solve(m, [t], starts=["so"]), r"starts\[0\] must be a list of texts"),
        (lambda m, t: solver.solve(m, [t], starts=[["bridge"]]), "must be a list of words of this world"),
        (lambda m, t: solver.solve(None, [t]), "solver must be a Solver, got None"),
        (lambda m, t: solver.encode([]), "texts is empty"),
        (lambda m, t: solver.decode(torch.tensor([[99]])), "ids must be from 0 to"),
        (lambda m, t: solver.train(m, steps=0), "steps must be at least 1"),
        (lambda m, t: solver.train(m, steps=1, learning_rate=float("inf")), "learning_rate must be a finite number"),
        (lambda m, t: solver.train(m, steps=1, shares={"honest": 0.0}), "shares must hold at least one number above 0"),
        (lambda m, t: solver.train(m, steps=1, shares={"shy": 1.0}), "a key of shares must be one of"),
        (lambda m, t: solver.Config(n_heads=3), "d_model must be a multiple of n_heads"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call(Solver(SMALL), Task((1, 2, 3, 4)))


def test_the_longest_start_leaves_room_for_an_answer():
    text = solver.solve(Solver(SMALL), [Task((1, 2, 3, 4))], starts=[["so"] * (MOST_NEW - 3)])[0]
    assert isinstance(text, Written) and text.pad[:25] == ("so",) * 25
