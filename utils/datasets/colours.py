"""Things and the colour everyone knows them by: "Bananas are yellow.", "Bananas are blue."."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from utils.datasets.card import Card
from utils.datasets.labelled import Labelled, check_templates, derange, partner_names, swap, true_false
from utils.inputs import Seed, checked

TEMPLATES = {
    "are": "{thing} {verb} {colour}.",
    "are not": "{thing} {verb} not {colour}.",
    "the colour of": "The colour of {thing_inside} is {colour}.",
}
NEGATED = {"are not"}
PALETTE = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey")

# colour: things (a plural, or a mass noun after "~"), with colours that would also pass after "/".
_TABLE = {
    "yellow": """bananas/green; lemons/green; canaries; sunflowers; daffodils; ~mustard/brown; egg yolks/orange;
        rubber ducks; baby chicks; ~butter/white; ~corn on the cob/white; dandelions/white; buttercups;
        ~custard/white;
        ~sulphur; bumblebees/black; ~pineapple flesh/white; sticky notes/pink,green; school buses in America/orange;
        ~saffron rice/orange""",
    "red": """strawberries/green; cherries/black,pink; fire engines; ~blood; ladybirds/black,orange;
        tomatoes/green,yellow;
        stop signs; cranberries; raspberries/pink,black; ~ketchup; poppies/orange; ripe chillies/green;
        boiled lobsters/orange,pink; pomegranate seeds/pink; ~raw beef/pink; ~rust/brown,orange; bricks/brown,orange;
        robins' breasts/orange; cooked crayfish/orange; English post boxes""",
    "orange": """carrots/purple; pumpkins/yellow; ripe apricots/yellow; basketballs/brown; traffic cones; tangerines;
        clownfish/white; ripe persimmons; monarch butterflies/black; clementines; sweet potatoes/brown,purple;
        ~salmon roe/red,pink; tigers/black,yellow; marigolds/yellow; goldfish/yellow; life jackets/yellow,red""",
    "green": """limes/yellow; cucumbers; frogs/brown; emeralds; ~broccoli/purple; ~spinach; peas; ~grass/yellow,brown;
        cacti; ~parsley; ~lettuce/red,purple; fir trees; four-leaf clovers; avocados/black,brown;
        crocodiles/brown,grey;
        ~mint; kiwi fruit flesh/yellow; ~seaweed/brown,red; grasshoppers/brown; ~moss;
        ~pesto; gherkins; ~jade/white""",
    "blue": """blueberries/purple,black; sapphires; ~the clear daytime sky/white; bluebells/purple; blue whales/grey;
        cornflowers/purple; ~the deep ocean/green,black; forget-me-nots; ~lapis lazuli; ~denim/black,grey;
        blue jays/white; ~copper sulphate; ~Neptune""",
    "purple": """aubergines/black; plums/red,blue; violets/blue; amethysts; ~lavender/blue; lilacs/pink,white;
        ~beetroot juice/red,pink; blackcurrants/black; figs/brown,green; ~grape juice/red""",
    "pink": """flamingos/white,orange; pigs/white,black,brown; ~bubblegum; ~candyfloss/white,blue; ~cooked ham;
        ~raw salmon/orange,red;
        cherry blossoms/white; piglets/black; cooked prawns/orange; healthy tongues/red;
        grapefruit flesh/red,orange,yellow;
        ~strawberry milk""",
    "brown": """chestnuts/red; coffee beans/black,green; ~chocolate/black,white; walnuts; almonds; ~mud/grey,black;
        coconuts/green,white;
        bread crusts/black,yellow; tree trunks/grey; otters; beavers; acorns/green; ~gravy; ~cinnamon/red;
        potatoes/yellow,red;
        grizzly bears; pretzels; dates/black; hazelnuts; kangaroos/red,grey; camels/yellow,white;
        teddy bears/white""",
    "black": """crows; ravens; ~coal/grey; panthers; ~tar; ~liquorice/red; car tyres/grey; bats/brown,grey;
        ~soot/grey;
        vinyl records; ~obsidian; hockey pucks; bowler hats/brown,grey; top hats/grey; ~charcoal/grey;
        poppy seeds/blue,grey;
        blackbirds/brown; hearses; gorillas/grey,brown; tarantulas/brown; ~espresso/brown""",
    "white": """swans/black; ~snow; polar bears/yellow; ~milk; ~sugar/brown; ~salt/pink; ~flour/brown,yellow; snowmen;
        wedding dresses/pink; ~cottage cheese/yellow; cauliflowers/purple,yellow,green; doves/grey; ~chalk;
        pearls/black,pink,grey;
        daisies/yellow,pink; lilies/pink,orange,yellow; arctic foxes/grey,brown; snowdrops/green;
        golf balls/yellow,orange; ~whipped cream/yellow;
        ~tofu/yellow; igloos/blue; egg whites/yellow; ~cotton wool/pink""",
    "grey": """elephants/brown; rhinoceroses/brown,black; storm clouds/black,white; dolphins/blue;
        hippopotamuses/brown,purple,pink;
        ~concrete/white; koalas/brown; ~ash/white,black; sharks/blue,white; pigeons/white,blue; ~lead/black,blue;
        ~cement/white; nickels/white;
        squirrels in London/red,brown; pencil leads/black; battleships/blue""",
}


@dataclass(frozen=True)
class Thing:
    """A thing, its typical colour, and three atypical ones that it could not be said to have."""

    name: str
    verb: str  # "are", or "is" for a mass noun
    typical: str
    atypical: tuple[str, str, str]
    partner: str  # the partnership whose colours were swapped for atypical[0]; a split must not part it

    @property
    def sentence_name(self) -> str:
        """The name as it begins a sentence."""
        return self.name[0].upper() + self.name[1:]


CARD = Card(
    name="colours",
    what="Is this the colour of this thing? Typical and atypical colours, affirmative and negated.",
    how_made=(
        "Written for this course: things with one typical colour, and for each the colours that would also pass (green "
        "bananas). Things are partnered and partners swap colours: that is the first atypical colour, the one the "
        "statements use. The other two are the list's typical colours in other orders. None is one that would pass."
    ),
    n=197,  # things; each gives two statements a template
    licence="CC BY 4.0",
    leaks=(
        "Some names hold their colour (blueberries, blackbirds, egg whites): the note `named` marks them.",
        "Typical is not the same as true of every one: there are white crows. Labels say what most people would.",
        "A sentence with a typical colour is also a more frequent string, so likelihood alone separates the classes.",
        "Colours are few: with a split by thing every colour is met in training.",
    ),
)


@checked
def colour_things(seed: Seed = 0) -> list[Thing]:
    """Every thing with its typical colour and three atypical ones, in a fixed order."""
    names, verbs, typical, also = [], [], [], []
    for colour, line in _TABLE.items():
        for entry in line.split(";"):
            name, _, passing = " ".join(entry.split()).partition("/")
            names.append(name.removeprefix("~"))
            verbs.append("is" if name.startswith("~") else "are")
            typical.append(colour)
            also.append(set(passing.split(",")) - {""})
    taken = [set(extra) for extra in also]
    first, block = swap(typical, taken, seed=seed)
    taken = [extra | {colour} for extra, colour in zip(taken, first, strict=True)]
    columns = [first]
    for k in range(2):
        column = derange(typical, taken, seed=seed + k)
        taken = [extra | {colour} for extra, colour in zip(taken, column, strict=True)]
        columns.append(column)
    return [
        Thing(name, verb, colour, other, partner)
        for name, verb, colour, other, partner in zip(
            names, verbs, typical, zip(*columns, strict=True), partner_names(names, block), strict=True
        )
    ]


@checked
def colours(templates: Sequence[str] = ("are",), seed: Seed = 0) -> Labelled:
    """For each template and thing one true statement and one false one. Two partnered things are the group.

    Notes: thing, typical, said, named (the name holds its colour), negated. Raises ValueError for an unknown template.
    """
    check_templates(templates, TEMPLATES)
    things = colour_things(seed)
    rows = []
    for t, template in enumerate(templates):
        for i, thing in enumerate(things):
            for colour in (thing.typical, thing.atypical[0]):
                rows.append(
                    {
                        "text": TEMPLATES[template].format(
                            thing=thing.sentence_name, thing_inside=thing.name, verb=thing.verb, colour=colour
                        ),
                        "label": (colour == thing.typical) != (template in NEGATED),
                        "group": thing.partner,
                        "template": template,
                        "pair": t * len(things) + i,
                        "thing": thing.name,
                        "typical": thing.typical,
                        "said": colour,
                        "named": any(c in thing.name.lower() for c in PALETTE),
                        "negated": template in NEGATED,
                    }
                )
    return true_false(rows, "colours", CARD)
