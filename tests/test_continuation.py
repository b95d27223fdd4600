"""The rest of a model from one block on: the same numbers as a whole run, and none of the earlier blocks' work."""

import pytest
import torch

from utils.reading.continuation import continue_from

IDS = torch.tensor([[0, 5, 6, 7, 8], [0, 9, 3, 0, 0]])
WANTED = torch.tensor([[False, False, True, False, True], [False, False, True, False, False]])


def test_it_equals_a_whole_run_with_the_same_edit(tiny_model):
    rest = continue_from(tiny_model, IDS, 0)
    for edit in (lambda acts: acts, lambda acts: acts * 1.5 + 0.1):
        with torch.no_grad():
            whole = tiny_model.run_with_hooks(
                IDS, fwd_hooks=[("blocks.0.hook_resid_post", lambda acts, hook, edit=edit: edit(acts))]
            )
        # The second text is padded on the right, where the model can't see it.
        torch.testing.assert_close(rest.logits(edit(rest.start), WANTED), whole[WANTED], atol=1e-4, rtol=1e-4)


def test_the_earlier_blocks_do_not_run_again_and_later_hooks_do(tiny_model):
    rest = continue_from(tiny_model, IDS, 0)
    ran = []
    names = [f"blocks.{i}.hook_resid_post" for i in range(tiny_model.cfg.n_layers)]
    with tiny_model.hooks(fwd_hooks=[(name, lambda acts, hook: ran.append(hook.name)) for name in names]):
        rest.logits(rest.start, WANTED)
    assert len(ran) == tiny_model.cfg.n_layers - 1 and not any("blocks.0." in name for name in ran)


def test_what_cannot_be_continued_is_said(tiny_model):
    last = tiny_model.cfg.n_layers - 1
    for block in (-1, last, last + 5, True, 0.0):
        with pytest.raises((TypeError, ValueError), match="^block must be"):
            continue_from(tiny_model, IDS, block)
    with pytest.raises(ValueError, match="a block must follow it"):
        continue_from(tiny_model, IDS, last)
    for ids in (IDS[0], IDS.float(), IDS + 1000, torch.zeros_like(IDS, device="meta")):
        with pytest.raises((TypeError, ValueError), match="^tokens"):
            continue_from(tiny_model, ids, 0)
    rest = continue_from(tiny_model, IDS, 0)
    with pytest.raises(ValueError, match="stream must have shape"):
        rest.logits(rest.start[:1], WANTED)
    with pytest.raises(ValueError, match="wanted must be a mask"):
        rest.logits(rest.start, WANTED[:, :-1])


def test_many_ends_of_a_text_are_read_in_one_row(tiny_model):
    """Each end gives what a run of its own gives: it sees the text before it, itself, and no other end."""
    rest = continue_from(tiny_model, IDS, 0)
    assert rest.branches_off
    places = torch.tensor([[3, 4], [1, 2]])
    ends = torch.randn(5, 2, 2, tiny_model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    together = rest.last_logits(ends, places)
    last = torch.zeros_like(WANTED).scatter(1, places[:, -1:], True)
    for end, found in zip(ends, together):
        stream = rest.start.clone()
        stream[torch.arange(2)[:, None], places] = end
        torch.testing.assert_close(found, rest.logits(stream, last), atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="ends has shape"):
        rest.last_logits(ends[:, :1], places)
