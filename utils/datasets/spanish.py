"""Spanish words and their English meanings, true and false."""

from __future__ import annotations

from collections.abc import Sequence

from utils.datasets.card import Card
from utils.datasets.labelled import Labelled, check_templates, partner_names, swap, true_false
from utils.inputs import Seed, checked

TEMPLATES = {
    "means": "The Spanish word '{spanish}' means '{english}'.",
    "does not mean": "The Spanish word '{spanish}' does not mean '{english}'.",
}
NEGATED = {"does not mean"}

_TABLE = {
    "noun": """perro dog; gato cat; casa house; agua water; fuego fire; libro book; mesa table; silla chair;
        puerta door; ventana window;
        calle street; ciudad city; pueblo village; playa beach; mar sea; cielo sky; luna moon; estrella star;
        tierra earth; arena sand;
        nieve snow; lluvia rain; viento wind; pan bread; leche milk; queso cheese; huevo egg; carne meat;
        pescado fish; manzana apple;
        naranja orange; uva grape; cebolla onion; ajo garlic; hombre man; mujer woman; padre father; madre mother;
        hijo son; hija daughter;
        hermano brother; hermana sister; amigo friend; cabeza head; mano hand; pie foot; ojo eye; boca mouth;
        nariz nose; oreja ear;
        diente tooth; pierna leg; dedo finger; sangre blood; hueso bone; caballo horse; vaca cow; cerdo pig;
        oveja sheep; gallina hen;
        pato duck; conejo rabbit; mariposa butterfly; hormiga ant; abeja bee; araña spider; escuela school;
        maestro teacher; iglesia church; puente bridge;
        barco ship; coche car; tren train; llave key; cuchillo knife; tenedor fork; cuchara spoon; plato plate;
        vaso glass; botella bottle;
        camisa shirt; zapato shoe; sombrero hat; falda skirt; dinero money; guerra war; paz peace; rey king;
        reina queen; espejo mirror""",
    "adjective": """rojo red; verde green; azul blue; negro black; blanco white; grande big; pequeño small; nuevo new;
        viejo old; joven young;
        alto tall; bajo short; caliente hot; frío cold; rápido fast; lento slow; rico rich; pobre poor; feliz happy;
        triste sad;
        fuerte strong; débil weak; limpio clean; sucio dirty; lleno full; vacío empty; dulce sweet; amargo bitter;
        seco dry; mojado wet""",
    "verb": """comer eat; beber drink; dormir sleep; correr run; caminar walk; hablar speak; leer read;
        escribir write; escuchar listen; cantar sing;
        bailar dance; nadar swim; volar fly; abrir open; cerrar close; comprar buy; vender sell; trabajar work;
        jugar play; llorar cry;
        reír laugh; pensar think; saber know; querer want; buscar search; encontrar find; perder lose; ganar win;
        morir die; vivir live""",
}

CARD = Card(
    name="spanish",
    what="Does this Spanish word mean this English word?",
    how_made=(
        "Written for this course: common words with one plain meaning. Words of one part of speech are partnered and "
        "partners swap meanings, so every word of either language is said as often truly as falsely, in every split."
    ),
    n=150,
    licence="CC BY 4.0",
    leaks=(
        "Pairs that share letters (naranja, orange) can be matched by spelling; most do not share any.",
        "Parts of speech agree in true and false sentences, topics do not.",
    ),
)


@checked
def spanish(templates: Sequence[str] = ("means",), seed: Seed = 0) -> Labelled:
    """For each template and Spanish word one true statement and one false one. Two partnered words are the group.

    Notes: spanish, english (the true meaning), said, part_of_speech, negated.
    Raises ValueError for an unknown template.
    """
    check_templates(templates, TEMPLATES)
    rows = []
    pair = 0
    for template in templates:
        for part, line in _TABLE.items():
            words = [tuple(entry.split()) for entry in line.split(";")]
            said, block = swap([english for _, english in words], seed=seed)
            groups = partner_names([word for word, _ in words], block)
            for (word, english), wrong, group in zip(words, said, groups, strict=True):
                for meaning in (english, wrong):
                    rows.append(
                        {
                            "text": TEMPLATES[template].format(spanish=word, english=meaning),
                            "label": (meaning == english) != (template in NEGATED),
                            "group": group,
                            "template": template,
                            "pair": pair,
                            "spanish": word,
                            "english": english,
                            "said": meaning,
                            "part_of_speech": part,
                            "negated": template in NEGATED,
                        }
                    )
                pair += 1
    return true_false(rows, "spanish", CARD)
