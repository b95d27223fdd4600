"""Graphs on disk: whole, under a seal, to go on with; or pruned, as the JSON that other people's viewers read.

`write_viewer` writes what circuit-tracer 0.5's frontend and Neuronpedia show: metadata, nodes, links, and supernodes in
`qParams`. Two differences from circuit-tracer's own files: an error node is called "error_<block>_<position>" (there
"0_<block>_<position>", which is also a latent's name in block 0), and a neuron's feature_type is "mlp neuron".

Layouts: circuit-tracer 0.5.0 (circuit_tracer/frontend/graph_models.py) and Neuronpedia's JSON schema of an attribution
graph (github.com/hijohnnylin/neuronpedia, apps/webapp/app/api/graph/graph-schema.json).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.home import write_whole
from utils.inputs import Text, checked
from utils.sealed import read_sealed, write_sealed
from utils.standin.graph import Graph, Node
from utils.standin.pruning import Grouped, Pruned

__all__ = ["load_graph", "node_name", "read_viewer", "save_graph", "viewer_json", "write_viewer"]

_TENSORS = ("tokens", "units", "values", "probabilities", "adjacency", "bias", "totals")
_PLAIN = ("basis", "rule", "constant_start", "prompt", "words", "n_layers", "n_active", "logit_ids", "logit_words")
_FORMAT = "attribution graph 1"


# ---------------------------------------------------------------------------------------------------- whole graphs


@checked
def save_graph(graph: Graph, path: Text | Path) -> Path:
    """Write a whole graph as a sealed safetensors file. Returns the path."""
    note = {"format": _FORMAT, **{name: getattr(graph, name) for name in _PLAIN}}
    return write_sealed(path, {name: getattr(graph, name) for name in _TENSORS}, {"graph": json.dumps(note)})


@checked
def load_graph(path: Text | Path) -> Graph:
    """Read a graph that `save_graph` wrote.

    Raises FileNotFoundError for a missing file; ValueError for one that is cut short, altered, or no graph.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"path: there is no file {path}")
    tensors, said = read_sealed(path)
    note = json.loads(said.get("graph", "{}"))
    missing = [name for name in _TENSORS if name not in tensors] + [name for name in _PLAIN if name not in note]
    if note.get("format") != _FORMAT or missing:
        raise ValueError(f"path: {path} is no graph that save_graph wrote")
    parts: dict[str, Any] = {**{name: tensors[name] for name in _TENSORS}, **{name: note[name] for name in _PLAIN}}
    return Graph(**parts)


# ---------------------------------------------------------------------------------------------- viewers' JSON files


@checked
def viewer_json(
    graph: Graph,
    pruned: Pruned,
    slug: Text,
    *,
    scan: Text = "llm-biology-lab",
    groups: Grouped | None = None,
    labels: Mapping[int, str] | None = None,
    node_threshold: float = 0.8,
) -> dict[str, Any]:
    """A pruned graph as circuit-tracer's frontend and Neuronpedia read it: plain dicts and lists.

    slug: the graph's short name (letters, digits, "-", "_"). scan: model and transcoders, as the viewer knows them.
    groups: supernodes; their kept members are pinned. labels: node number -> words to show. node_threshold: what
    `pruned` was made with; viewers start their slider there.
    Raises ValueError for a slug that is no file name, and a `pruned` of another graph.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", slug):
        raise ValueError(f"slug must be letters, digits, '-' and '_', got {slug!r}")
    if len(pruned.nodes) != len(graph):
        raise ValueError(f"pruned is of a graph of {len(pruned.nodes)} nodes, this one has {len(graph)}")
    labels = labels or {}
    linked = pruned.edges.any(0) | pruned.edges.any(1)
    linked[graph.places("embedding").start :] = True
    kept = [i for i in range(len(graph)) if bool(pruned.nodes[i]) and bool(linked[i])]
    names = {i: node_name(graph.node(i)) for i in kept}
    links = [
        {"source": names[source], "target": names[target], "weight": float(graph.adjacency[target, source])}
        for target, source in pruned.edges.nonzero().tolist()
        if source in names and target in names
    ]
    supernodes = []
    for name in groups.names if groups is not None else []:
        assert groups is not None
        members = [names[i] for i in groups.members[name] if i in names]
        supernodes += [[name, *members]] if members else []
    pinned = [member for _, *members in supernodes for member in members]
    return {
        "metadata": {
            "slug": slug,
            "scan": scan,
            "transcoder_list": [],
            "prompt_tokens": list(graph.words),
            "prompt": graph.prompt,
            "node_threshold": node_threshold,
            "schema_version": 1,
        },
        "qParams": {"pinnedIds": pinned, "supernodes": supernodes, "linkType": "both", "clickedId": "", "sg_pos": ""},
        "nodes": [_node(graph, pruned, i, labels.get(i, "")) for i in kept],
        "links": links,
    }


@checked
def node_name(node: Node) -> str:
    """A node's name in viewers' files, the same for the same unit and place in every graph."""
    return {
        "unit": f"{node.layer}_{node.index}_{node.position}",
        "error": f"error_{node.layer}_{node.position}",
        "embedding": f"E_{node.index}_{node.position}",
        "logit": f"{node.layer + 1}_{node.index}_{node.position}",
    }[node.kind]


def _node(graph: Graph, pruned: Pruned, i: int, label: str) -> dict[str, Any]:
    node = graph.node(i)
    first = i == graph.places("logit").start
    chance = float(graph.probabilities[i - graph.places("logit").start]) if node.kind == "logit" else 0.0
    pair = (node.layer + node.index) * (node.layer + node.index + 1) // 2 + node.index  # Cantor's, as circuit-tracer's
    feature = {"unit": pair, "error": -1, "embedding": node.position, "logit": node.index}[node.kind]
    unit = "cross layer transcoder" if graph.basis == "latents" else "mlp neuron"
    kind = {"unit": unit, "error": "mlp reconstruction error", "embedding": "embedding", "logit": "logit"}[node.kind]
    layer = {"embedding": "E", "logit": str(graph.n_layers + 1)}.get(node.kind, str(node.layer))
    said = label or (f'Output "{node.word}" (p={chance:.3f})' if node.kind == "logit" else "")
    script = {
        "unit": f"{node.layer}_{node.index}-0",
        "error": f"error_{node.layer}_{node.position}-0",
        "embedding": f"E_{node.index}-{node.position}",
        "logit": f"L_{node.index}-{node.position}",
    }[node.kind]
    return {
        "node_id": node_name(node),
        "feature": feature,
        "layer": layer,
        "ctx_idx": node.position,
        "feature_type": kind,
        "token_prob": chance,
        "is_target_logit": first,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": script,
        "clerp": said,
        "influence": None if node.kind == "logit" else float(pruned.cumulative[i]),
        "activation": node.value if node.kind == "unit" else None,
    }


@checked
def write_viewer(content: Mapping[str, Any], folder: Text | Path) -> Path:
    """Write `viewer_json`'s content as <slug>.json, and list it in the folder's graph-metadata.json, as viewers want.

    Returns the path of the graph. Raises ValueError for content that isn't whole, or a list that can't be read.
    """
    content = dict(content)
    _check("content", content)
    folder = Path(folder)
    listed: dict[str, Any] = {"graphs": []}
    index = folder / "graph-metadata.json"
    if index.exists():
        listed = _parsed(index)
        if not isinstance(listed.get("graphs"), list):
            raise ValueError(f"folder: {index} holds no list of graphs")
    slug = content["metadata"]["slug"]
    others = [entry for entry in listed["graphs"] if entry.get("slug") != slug]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{slug}.json"
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    entries = {**listed, "graphs": [*others, content["metadata"]]}
    write_whole(index, json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
    return path


@checked
def read_viewer(path: Text | Path) -> dict[str, Any]:
    """Read a viewer's file, of this library or of circuit-tracer, and hold it to the layout.

    Raises FileNotFoundError for a missing file; ValueError for one that is cut short, lacks a part, or has links to
    nodes that it doesn't hold.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"path: there is no file {path}")
    content = _parsed(path)
    _check(f"path: {path}", content)
    return content


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ValueError(f"path: {path} is no text, so no JSON") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"path: {path} is cut short or no JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"path: {path} holds no graph, but a {type(content).__name__}")
    return content


_NEEDED = {
    "metadata": ("slug", "scan", "prompt_tokens", "prompt"),
    "nodes": ("node_id", "feature", "layer", "ctx_idx", "feature_type", "jsNodeId", "clerp"),
    "links": ("source", "target", "weight"),
}


def _check(name: str, content: dict[str, Any]) -> None:
    for part, kind in (("metadata", dict), ("qParams", dict), ("nodes", list), ("links", list)):
        if not isinstance(content.get(part), kind):
            raise ValueError(f"{name} has no {part}, or not as a {kind.__name__}")
    parts = [("metadata", content["metadata"])]
    parts += [(f"nodes[{i}]", node) for i, node in enumerate(content["nodes"])]
    parts += [(f"links[{i}]", link) for i, link in enumerate(content["links"])]
    for where, entry in parts:
        lacking = [key for key in _NEEDED[where.split("[")[0]] if not isinstance(entry, dict) or key not in entry]
        if lacking:
            raise ValueError(f"{name}: {where} lacks {', '.join(lacking)}")
    ids = [node["node_id"] for node in content["nodes"]]
    if len(set(ids)) != len(ids):
        raise ValueError(f"{name}: two nodes have the same node_id")
    known = set(ids)
    for i, link in enumerate(content["links"]):
        if link["source"] not in known or link["target"] not in known:
            raise ValueError(f"{name}: links[{i}] leads from or to a node that isn't there")
        if not isinstance(link["weight"], int | float) or not math.isfinite(link["weight"]):
            raise ValueError(f"{name}: links[{i}] has weight {link['weight']!r}, not a finite number")
