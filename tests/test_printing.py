"""What the builder says of printed results and of predictions."""

import nbformat
import pytest

from utils.authoring import notebooks
from utils.authoring.notebooks import limits, printing


def notebook_of(*sources):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("print(a > b)", "a comparison"),
        ("print('larger:', a > b)", "a comparison"),
        ("print(f'larger: {a > b}')", "a comparison"),
        ("print(not ok)", "a comparison"),
        ("print(True)", "True or False"),
        ("print((a > b).all())", "all()"),
        ("print(any(x > 0 for x in xs))", "any()"),
        ("print(torch.allclose(a, b))", "allclose()"),
        ("print(bool(x))", "bool()"),
        ("print([x > 0 for x in xs])", "a comparison"),
        ("print({name: x > 0 for name, x in xs})", "a comparison"),
        ("ok = a > b\nprint(ok)", "a comparison"),
        ("a > b", "a comparison"),
        ("print(str(a > b))", "a comparison"),
        ("print(round(x, 2))", "coarse by round()"),
        ("print(coarse(x, 0.05))", "coarse by coarse()"),
        ("print(', '.join(coarse(x, 0.05) for x in xs))", "coarse by coarse()"),
        ("lab.say(f'It is {coarse(x, 0.05)}.')", "coarse by coarse()"),
        ("print(f'{x:.2f}')", "the format '.2f'"),
        ("print(f'{x:>8.1%}')", "the format '>8.1%'"),
        ("print(f'{x:.{d}f}')", "the format '.f'"),
        ("print('%.2f nats' % x)", "the format '%.2f'"),
        ("print('{:.2f}'.format(x))", "the format '{:.2f}'"),
        ("print(format(x, '.2g'))", "the format '{:.2g}'"),
        ("lab.say(f'It is {x:.2f}.')", "the format '.2f'"),
        ("lab.replication_card('p', '', 'c', {}, {'result': f'{x:.2f}'}, ['w'])", "the format '.2f'"),
        ("display(Markdown(f'{x:.1f}'))", "the format '.1f'"),
    ],
)
def test_a_result_that_is_hidden_is_named(source, words):
    found = list(printing.printed(notebook_of("x = 1", source), "97"))
    assert found and all(cell == 1 for cell, _ in found)
    assert words in found[0][1] and "hand the number to lab.measured" in found[0][1]


@pytest.mark.parametrize(
    "source",
    [
        "print('larger' if a > b else 'smaller')",
        "print(f'{name:<12} {n}')",
        "print(f'{n:,} tokens, {text:.40}')",
        "print(len([x for x in xs if x > 0]))",
        "print(sum(x > 0 for x in xs), 'of', len(xs))",
        "print(xs[xs > 0].shape)",
        "lab.measured('x', x, unit='nats', tolerance=0.01)",
        "lab.say('It is {x}.')",
        "assert a > b and torch.allclose(a, b)",
        "ok = a > b\nok = 'yes' if ok else 'no'\nprint(ok)",
        "plots.show(fig, alt=f'{x:.2f}')",
        "f = lab.check('3.1', f)",
        "%matplotlib inline",
    ],
)
def test_words_counts_and_names_may_be_printed(source):
    assert list(printing.printed(notebook_of(source), "97")) == []


def test_the_list_of_lessons_only_shrinks(monkeypatch):
    monkeypatch.setattr(limits, "NOT_YET_LESSONS", {"97"})
    assert list(printing.printed(notebook_of("print(a > b)"), "97")) == []
    ((cell, message),) = printing.printed(notebook_of("print('a')"), "97")
    assert cell is None and "take '97' out of NOT_YET_LESSONS" in message
    assert {path.stem[:2] for path in notebooks.paths(notebooks.SOLUTIONS)} | {"97"} >= limits.NOT_YET_LESSONS


ASKED = "lab.predict('97.length', 'How long?', unit='share', low=0, high=2)"
ANSWERED = "lab.measured('length', 1.0, unit='share', tolerance=0.1, predicted='97.length')"


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ((ANSWERED, ASKED), "'97.length' is answered, but was not predicted above"),
        ((ASKED,), "'97.length' is predicted, but never answered"),
        ((ASKED, "lab.prediction('97.length')"), "is predicted, but never answered"),
        ((ASKED, ASKED, ANSWERED), "'97.length' is predicted in cell 0 already"),
        ((ASKED.replace("97.", "96."), ANSWERED.replace("97.", "96.")), "must be written out and begin with '97.'"),
        (("lab.predict(key, 'How long?')", ANSWERED), "must be written out"),
        ((ASKED.replace("high=2", "high=2, answer=1"), ANSWERED), "must be asked without an answer"),
        ((ASKED, ANSWERED, "lab.prediction('97.x')"), "'97.x' is answered, but was not predicted"),
    ],
)
def test_a_prediction_is_asked_before_it_is_answered(sources, words):
    assert any(words in message for _, message in printing.predicted(notebook_of(*sources), "97"))


def test_predictions_in_order_are_fine():
    curve = "lab.predict('97.curve', 'Shape?', x=[1, 2], x_label='x', unit='bits', low=0, high=9)"
    shown = "plots.curves([1, 2], y, predicted=lab.prediction('97.curve'))\nlab.reveal('97.curve', y)"
    assert list(printing.predicted(notebook_of(ASKED, ANSWERED, curve, shown), "97")) == []
