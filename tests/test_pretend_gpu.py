"""The pretend GPU behaves as CUDA would where two places meet, so that what passes on it mixes nothing."""

import pytest
import torch

from tests.doors.pretend_gpu import on_gpu, pretend_gpu


@pytest.fixture(autouse=True)
def _gpu():
    with pretend_gpu():
        yield


def test_tensors_move_there_and_back():
    here = torch.arange(6.0).view(2, 3)
    there = here.to("cuda")
    assert on_gpu(there) and not on_gpu(here) and there.device.type == "cuda" and there.is_cuda
    assert on_gpu(there[0]) and on_gpu(there.T) and on_gpu(there + 1) and on_gpu(there.half()) and on_gpu(there.sum())
    assert not on_gpu(there.cpu()) and there.cpu().device.type == "cpu"
    assert on_gpu(here.to(there)) and on_gpu(torch.zeros(3, device="cuda")) and on_gpu(torch.tensor([1], device="cuda"))
    assert there.tolist() == here.tolist() and float(there.sum()) == 15.0


@pytest.mark.parametrize(
    "meet",
    [
        lambda there, here: there + here,
        lambda there, here: there @ here.T,
        lambda there, here: torch.cat([there, here]),
        lambda there, here: torch.where(there > 0, there, here),
        lambda there, here: torch.nn.functional.embedding(torch.tensor([0]), there),
        lambda there, here: here[torch.tensor([0], device="cuda")],
        lambda there, here: there.gather(-1, torch.zeros(2, 1, dtype=torch.long)),
        lambda there, here: here + there.sum(),
        lambda there, here: torch.randn(2, device="cuda", generator=torch.Generator()),
    ],
)
def test_tensors_of_two_places_do_not_meet(meet):
    with pytest.raises(RuntimeError, match="device|indices"):
        meet(torch.ones(2, 3, device="cuda"), torch.ones(2, 3))


def test_what_cuda_allows_is_allowed():
    there, here = torch.ones(2, 3, device="cuda"), torch.ones(2, 3)
    assert on_gpu(there * torch.tensor(2.0)) and on_gpu(there[torch.tensor([0])]) and on_gpu(there * 2)
    here[0] = there[0]
    assert not on_gpu(here)
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()


def test_what_a_call_makes_inside_is_made_there():
    rows = [torch.ones(2, device="cuda"), torch.ones(3, device="cuda")]
    assert on_gpu(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True))
    assert on_gpu(torch.nn.functional.one_hot(torch.tensor([0, 1], device="cuda")))
    assert on_gpu(torch.cdist(torch.ones(2, 3, device="cuda"), torch.ones(2, 3, device="cuda")))
    assert on_gpu(torch.ones(2, device="cuda").new_zeros(3)) and not on_gpu(torch.zeros(3))


def test_gradients_stay_there():
    layer = torch.nn.Linear(3, 2).to("cuda")
    assert all(on_gpu(p) for p in layer.parameters())
    x = torch.ones(4, 3, device="cuda", requires_grad=True)
    layer(x).square().sum().backward()
    assert on_gpu(x.grad) and on_gpu(layer.weight.grad)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.1)
    optimiser.step()
    assert all(on_gpu(p) for p in layer.parameters())
