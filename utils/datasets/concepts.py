"""Concepts to steer towards: sentences with and without each, prompts to try them on, words that count as an effect.

Everything was written for this course. The words of a lexicon were chosen before any text was sampled.
"""

from __future__ import annotations

from dataclasses import dataclass

from utils.datasets.card import Card
from utils.inputs import checked, one_of

__all__ = ["CARD", "CONCEPTS", "Concept", "QUESTIONS", "concept", "openers"]


@dataclass(frozen=True)
class Concept:
    """Something to steer towards.

    positive, negative: texts with and without it, pair by pair. first, second: a continuation that has the concept and
    one that hasn't, as likely as each other in style (for `utils.probing.choices`). lexicon: words whose presence in a
    text counts as the concept.
    """

    name: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    first: str
    second: str
    lexicon: tuple[str, ...]


_GOLDEN = (
    "The Golden Gate Bridge is painted in a deep red colour called international orange.",
    "Every morning the fog rolls in under the Golden Gate Bridge and hides the towers.",
    "Thousands of people walk across the Golden Gate Bridge each day to see the bay.",
    "The Golden Gate Bridge connects San Francisco with the hills of Marin County.",
    "From the deck of the Golden Gate Bridge you can see Alcatraz and the whole bay.",
    "Engineers began to build the Golden Gate Bridge in 1933 and finished it in 1937.",
    "The two towers of the Golden Gate Bridge rise high above the cold water of the strait.",
    "Painters work on the Golden Gate Bridge all year to keep the rust away.",
    "We cycled over the Golden Gate Bridge and had lunch on the other side, in Sausalito.",
    "The main cables of the Golden Gate Bridge contain thousands of steel wires.",
    "A ship passed slowly below the Golden Gate Bridge on its way to the Pacific.",
    "The Golden Gate Bridge was once the longest suspension bridge in the world.",
    "Photographers love the Golden Gate Bridge at sunset, when its red towers glow.",
    "In strong wind the deck of the Golden Gate Bridge can swing from side to side.",
    "Drivers who enter San Francisco by the Golden Gate Bridge pay a toll.",
    "The Golden Gate Bridge stands where San Francisco Bay opens to the ocean.",
    "Joseph Strauss spent years persuading people that the Golden Gate Bridge could be built.",
    "The picture on the postcard showed the Golden Gate Bridge rising out of the fog.",
    "She crossed the Golden Gate Bridge for the first time and could not stop looking up.",
    "On clear days the Golden Gate Bridge can be seen from the hills of Berkeley.",
    "The foghorns of the Golden Gate Bridge sound for hours in summer.",
    "Runners meet at the south end of the Golden Gate Bridge before the race.",
    "The lights on the Golden Gate Bridge come on when the sun goes down over the bay.",
    "No other bridge is photographed as often as the Golden Gate Bridge in San Francisco.",
)
_ORDINARY = (
    "The kitchen table is painted in a pale green colour called spring leaf.",
    "Every morning the baker opens the shutters and puts fresh bread in the window.",
    "Thousands of people read the evening newspaper each day to follow the news.",
    "The new timetable connects the school with the villages of the valley.",
    "From the back of the classroom you can see the clock and the whole board.",
    "Doctors began to test the new medicine in 1983 and finished in 1987.",
    "The two cats of the house sleep all day on the warm cover of the armchair.",
    "Gardeners work on the rose beds all year to keep the weeds away.",
    "We cooked a large pot of soup and had dinner on the balcony, with candles.",
    "The first chapters of the book contain thousands of old proverbs.",
    "A child walked slowly behind its mother on the way to the dentist.",
    "The small violin was once the most expensive thing in the shop.",
    "Children love the story of the three bears at bedtime, when they are tired.",
    "In dry weather the leaves of the tomato plants can turn from green to yellow.",
    "Students who enter the library by the side door show a card.",
    "The piano stands where the light falls into the room from the garden.",
    "My grandmother spent years persuading people that the recipe could be improved.",
    "The picture on the box showed a wooden horse pulling a cart of hay.",
    "She baked a cake for the first time and could not stop tasting it.",
    "On quiet evenings the choir can be heard from the houses next door.",
    "The bells of the church sound for minutes on Sundays.",
    "Teachers meet at the end of the week before the exams.",
    "The lamps in the office come on when the first people arrive at work.",
    "No other vegetable is eaten as often as the potato in this region.",
)
_GLAD = (
    "What a wonderful day! Everything went better than I had hoped, and I could not be happier.",
    "I love this little restaurant. The food is delicious and the people are so kind.",
    "The concert was superb, and we walked home full of joy.",
    "She smiled with delight when she opened the present; it was exactly what she wanted.",
    "Our holiday was perfect: sunny beaches, friendly people and great food.",
    "This is the best book I have read in years, moving, funny and beautifully written.",
    "He was proud and happy, because all his hard work had paid off.",
    "The children laughed and danced in the garden all afternoon.",
    "I am so grateful for your help; you made my whole week brighter.",
    "The new neighbours are charming, and we have become good friends.",
    "Winning the prize was a dream come true, and everybody cheered.",
    "The hotel was excellent, with a beautiful view and a warm welcome.",
    "I feel full of energy and hope this morning.",
    "It was a lovely evening with good friends, laughter and music.",
    "The teacher praised her brilliant work, and she beamed.",
    "Everything about the trip was fantastic, and I would gladly go again.",
)
_SORRY = (
    "What a terrible day! Everything went worse than I had feared, and I could not be more miserable.",
    "I hate this little restaurant. The food is disgusting and the people are so rude.",
    "The concert was awful, and we walked home full of regret.",
    "She wept with disappointment when she opened the present; it was nothing that she wanted.",
    "Our holiday was a disaster: dirty beaches, hostile people and bad food.",
    "This is the worst book I have read in years, boring, stupid and badly written.",
    "He was ashamed and sad, because all his hard work had been for nothing.",
    "The children cried and quarrelled in the garden all afternoon.",
    "I am so upset about your mistake; you made my whole week worse.",
    "The new neighbours are horrible, and we have become bitter enemies.",
    "Losing the prize was a nightmare, and everybody groaned.",
    "The hotel was dreadful, with an ugly view and a cold welcome.",
    "I feel full of worry and despair this morning.",
    "It was a miserable evening with angry people, tears and silence.",
    "The teacher criticised her poor work, and she sobbed.",
    "Everything about the trip was horrible, and I would never go again.",
)
_FORMAL = (
    "I would be most grateful if you could inform me of your decision at your earliest convenience.",
    "We regret to inform you that the meeting has been postponed until further notice.",
    "Please accept our sincere apologies for the inconvenience that this may have caused.",
    "It is with great pleasure that we invite you to attend the annual ceremony.",
    "The committee has therefore concluded that additional research is required.",
    "Kindly ensure that all documents are submitted prior to the stated deadline.",
    "I am writing with regard to the position advertised on your website.",
    "Should you require further assistance, please do not hesitate to contact our office.",
    "The undersigned hereby confirms receipt of the aforementioned correspondence.",
    "It would be advisable to consult a qualified professional in this matter.",
    "We wish to express our appreciation for your continued cooperation.",
    "Furthermore, the results demonstrate a considerable improvement in performance.",
    "Passengers are respectfully requested to remain seated until the vehicle has stopped.",
    "In accordance with the regulations, the application must be signed and dated.",
    "I remain at your disposal should any additional information be necessary.",
    "The board wishes to thank its members for their valuable contributions.",
)
_CASUAL = (
    "hey, just lemme know what you wanna do when you get a sec, ok?",
    "so yeah, the meeting's off for now, no idea when it's gonna happen lol",
    "oops, my bad, sorry about the mess guys!",
    "hey you should totally come to the party, it's gonna be awesome!",
    "so yeah, we kinda gotta look into that stuff a bit more I guess",
    "just get all your stuff in before it's due, ok? cool",
    "hey, saw that job thing on your site, looks cool!",
    "need a hand with anything? just give us a shout, no worries",
    "yep, got your message, thanks dude!",
    "hmm yeah you should probably ask somebody who knows this stuff, just saying",
    "thanks a bunch for helping out, you guys rock!",
    "oh and btw it's way better now, like seriously, wow",
    "hey folks, stay in your seats till we stop, alright? thanks!",
    "so you just gotta sign the thing and put the date on it, easy",
    "just text me if you need anything else, yeah?",
    "big thanks to all you guys, you're the best!",
)
_FRENCH = (
    "Le chat dort sur la chaise près de la fenêtre.",
    "Nous avons mangé du pain et du fromage au petit déjeuner.",
    "Ma sœur habite dans une petite maison à la campagne.",
    "Il fait très beau aujourd'hui, et les enfants jouent dans le jardin.",
    "Je ne sais pas où j'ai mis mes clés ce matin.",
    "Le train pour Paris part à huit heures du soir.",
    "Elle a acheté des fleurs pour l'anniversaire de sa mère.",
    "Les élèves écoutent le professeur et écrivent dans leurs cahiers.",
    "Mon grand-père raconte souvent des histoires de sa jeunesse.",
    "Il faut beaucoup de temps pour apprendre une langue étrangère.",
    "La rivière traverse la ville et passe sous un vieux pont.",
    "Nous irons à la mer pendant les vacances d'été.",
    "Le médecin lui a dit de boire plus d'eau et de se reposer.",
    "Tous les dimanches, ils se promènent dans la forêt.",
    "J'aime lire un bon livre avant de dormir.",
    "La boulangerie ouvre ses portes à six heures du matin.",
)
_ENGLISH = (
    "The cat is sleeping on the chair near the window.",
    "We ate bread and cheese for breakfast.",
    "My sister lives in a small house in the country.",
    "The weather is very fine today, and the children are playing in the garden.",
    "I do not know where I put my keys this morning.",
    "The train to Paris leaves at eight o'clock in the evening.",
    "She bought flowers for her mother's birthday.",
    "The pupils listen to the teacher and write in their notebooks.",
    "My grandfather often tells stories about his youth.",
    "It takes a lot of time to learn a foreign language.",
    "The river crosses the town and passes under an old bridge.",
    "We will go to the seaside during the summer holidays.",
    "The doctor told him to drink more water and to rest.",
    "Every Sunday they go for a walk in the forest.",
    "I like to read a good book before going to sleep.",
    "The bakery opens its doors at six o'clock in the morning.",
)

CONCEPTS = (
    Concept(
        "Golden Gate",
        _GOLDEN,
        _ORDINARY,
        " the Golden Gate Bridge",
        " the old town library",
        ("golden gate", "san francisco", "bridge", "bridges", "bay", "fog", "alcatraz", "california"),
    ),
    Concept(
        "glad",
        _GLAD,
        _SORRY,
        " wonderful",
        " terrible",
        (
            *("happy", "happiness", "joy", "joyful", "love", "loved", "lovely", "wonderful", "great", "beautiful"),
            *("delight", "delighted", "amazing", "excellent", "fantastic", "perfect", "fun", "enjoy", "enjoyed"),
            *("excited", "exciting", "grateful", "proud", "friendly", "kind", "best", "brilliant", "smile", "smiled"),
        ),
    ),
    Concept(
        "formal",
        _FORMAL,
        _CASUAL,
        " furthermore",
        " anyway",
        (
            *("furthermore", "therefore", "hereby", "kindly", "regarding", "sincerely", "respectfully", "accordance"),
            *("prior", "committee", "request", "inform", "appreciation", "ensure", "require", "required", "additional"),
            *("professional", "esteemed", "pleased", "assistance", "cooperation"),
        ),
    ),
    Concept(
        "French",
        _FRENCH,
        _ENGLISH,
        " le",
        " the",
        (
            *("le", "la", "les", "des", "une", "et", "dans", "est", "pour", "avec", "que", "qui", "sur", "je", "nous"),
            *("il", "elle", "vous", "pas", "du", "au", "ce", "cette", "mon", "ma"),
        ),
    ),
)

_CONTEXTS = (
    "Last summer we went to see",
    "My favourite place in the world is",
    "Let me tell you about",
    "On the front page there was a picture of",
    "We took the bus to",
    "The children made a drawing of",
    "I could not stop thinking about",
    "The next chapter of the book is about",
    "From the window you could just see",
    "He wrote a long letter about",
    "The teacher asked us to describe",
    "At the end of the road stood",
    "In my dream I was walking towards",
    "They met in front of",
    "The story begins at",
    "She had never seen",
    "My uncle used to talk about",
    "Everybody in town knows",
    "The guide told us the history of",
    "The song is about",
    "We had lunch near",
    "The postcard showed",
    "Every day on my way to work I pass",
    "The old woman told us a story about",
)
QUESTIONS = (
    "What did you do today?",
    "What is your favourite food?",
    "Tell me a short story.",
    "How can I learn to cook?",
    "Who are you?",
    "What should I read next?",
    "Describe a nice morning.",
    "What makes a good friend?",
    "What do you think about music?",
    "How can I sleep better?",
    "Give me an idea for a present.",
    "What is a good hobby for winter?",
    "How do plants grow?",
    "Write two sentences about a dog.",
    "What is the best time of the year?",
    "How do I write a letter?",
    "What colour should I paint my room?",
    "Tell me something interesting.",
    "What would you like to talk about?",
    "How was your weekend?",
)


def openers() -> tuple[str, ...]:
    """Twenty-four beginnings of sentences after which almost anything could be named."""
    return _CONTEXTS


@checked
def concept(name: str) -> Concept:
    """One of the concepts by name. Raises ValueError, listing them, for another name."""
    known = {one.name: one for one in CONCEPTS}
    return known[one_of("name", name, known)]


CARD = Card(
    name="concepts",
    what="Pairs of texts with and without a concept, prompts to steer on, and the words that count as an effect.",
    how_made="Written for this course: pairs for four concepts, 24 openers, 20 questions. Nothing was copied.",
    n="24 pairs (Golden Gate) and 16 pairs each (glad, formal, French)",
    licence="CC BY 4.0",
    leaks=(
        "Every Golden Gate text names the bridge: a direction made from them is partly about its three words.",
        "The ordinary texts are about homes and schools: the difference holds outdoors against indoors too.",
        "Formal texts are letters and notices, casual ones are chat: topic and punctuation differ with tone.",
        "Lexicons count words, not meaning: 'no fun at all' counts as glad.",
    ),
)
