"""A dictionary lives where it is put and answers where it was asked; what is measured comes back on the CPU."""

import copy

import pytest
import torch
from test_sae_models import data, every_kind, random_sae

from tests.doors.pretend_gpu import on_gpu, pretend_gpu
from utils import sae
from utils.reading.activations import collect

HOOK = "blocks.0.hook_resid_post"
TEXTS = ["the cat sat on a mat", "a dog is in the city"]


@pytest.fixture()
def gpu():
    with pretend_gpu():
        yield


def there(module):
    """A copy of a model or dictionary on the pretend GPU."""
    return copy.deepcopy(module).to("cuda")


def dictionary():
    return sae.TopKSAE(32, 64, k=4).eval()


@every_kind
@torch.no_grad()
def test_latents_come_back_where_they_were_asked_for(kind, gpu):
    here, x = random_sae(kind, dtype=torch.float32).eval(), data(dtype=torch.float32)
    away = there(here)
    latents, rebuilt = here.encode(x), here(x)
    for one, asked in ((here, x.to("cuda")), (away, x), (away, x.to("cuda"))):
        for found, expected in (
            (one.encode(asked), latents),
            (one(asked), rebuilt),
            (one.decode(one.encode(asked)), rebuilt),
        ):
            assert on_gpu(found) == on_gpu(asked)
            torch.testing.assert_close(found.cpu(), expected)
    assert not on_gpu(away.encode(x.numpy()))


@every_kind
def test_training_where_the_dictionary_lives(kind, gpu, tmp_path):
    here = random_sae(kind, dtype=torch.float32)
    away, batches = there(here), [data(dtype=torch.float32) for _ in range(4)]
    settings = sae.Settings(4, learning_rate=1e-3, warm_up=0)
    sae.train(here, batches, settings, progress=False)
    options = {"checkpoint": tmp_path / "c.safetensors", "checkpoint_every": 2, "progress": False}
    with pytest.raises(ValueError, match="batches ended"):
        sae.train(away, batches[:3], settings, **options)
    sae.train(away, batches, settings, **options)
    for name, value in away.state_dict().items():
        assert on_gpu(value), name
        torch.testing.assert_close(value.cpu(), here.state_dict()[name])


@pytest.mark.parametrize("place", ["model there", "dictionary there", "both there"])
def test_measures_and_readings_come_back_on_the_cpu(place, gpu, tiny_model):
    mean, made = torch.linspace(-1, 1, 32), dictionary()
    found = collect(tiny_model, TEXTS, [HOOK], positions="all", cache=False, progress=False)
    expected = (
        sae.loss_recovered(tiny_model, made, HOOK, TEXTS, mean, progress=False),
        sae.read_texts(tiny_model, made, HOOK, TEXTS),
        sae.fit(made, found[HOOK]),
        sae.density(made, found[HOOK]),
        sae.matched_cosines(made.W_dec.detach(), made.W_enc.detach().T),
        sae.logit_effects(tiny_model, made.W_dec[0]),
    )
    model = there(tiny_model) if place != "dictionary there" else tiny_model
    away = there(made) if place != "model there" else made
    loss = sae.loss_recovered(model, away, HOOK, TEXTS, mean, progress=False)
    assert loss.spliced == pytest.approx(expected[0].spliced, abs=1e-5) and loss.n == expected[0].n
    read = sae.read_texts(model, away, HOOK, TEXTS)
    assert not any(map(on_gpu, (read.value, read.latent, read.ordinary, read.token, read.density(), read.values(3))))
    torch.testing.assert_close(read.value, expected[1].value)
    assert sae.fit(away, found[HOOK]) == sae.fit(away, found[HOOK].to("cuda"))
    assert sae.fit(away, found[HOOK]).variance_explained == pytest.approx(expected[2].variance_explained)
    assert not on_gpu(sae.density(away, found[HOOK].to("cuda")))
    torch.testing.assert_close(sae.density(away, found[HOOK].to("cuda")), expected[3])
    cosines = sae.matched_cosines(away.W_dec.detach(), made.W_enc.detach().T)
    assert not on_gpu(cosines)
    torch.testing.assert_close(cosines, expected[4])
    assert [token for token, _ in sae.logit_effects(model, away.W_dec[0])[0]] == [t for t, _ in expected[5][0]]


@pytest.mark.parametrize("keep_error", [True, False])
@torch.no_grad()
def test_a_latent_is_cut_wherever_the_model_is(keep_error, gpu, tiny_model):
    made, tokens = dictionary(), tiny_model.to_tokens(TEXTS[0])
    hooks = [(HOOK, sae.ablate_latents(made, [1, 2, 3], keep_error=keep_error, massive_norm=50.0))]
    expected = tiny_model.run_with_hooks(tokens, fwd_hooks=hooks)
    model = there(tiny_model)
    for one in (made, there(made)):
        hooks = [(HOOK, sae.ablate_latents(one, [1, 2, 3], keep_error=keep_error, massive_norm=50.0))]
        torch.testing.assert_close(model.run_with_hooks(tokens.to("cuda"), fwd_hooks=hooks).cpu(), expected)


def test_what_is_saved_comes_from_anywhere(gpu, tmp_path):
    made = dictionary()
    folder = sae.save(there(made), tmp_path / "a", hook=HOOK, model_name="tiny")
    back = sae.load(folder)
    assert not on_gpu(back.W_dec)
    torch.testing.assert_close(back.W_dec, made.W_dec)
