"""Graphs on disk: whole ones come back as they were, viewers' files are what viewers read, damage is named."""

import json

import pytest
import torch

from tests.standin import graph_by_hand
from utils.standin.export import load_graph, node_name, read_viewer, save_graph, viewer_json, write_viewer
from utils.standin.graph import Graph
from utils.standin.pruning import group, prune


@pytest.fixture(scope="module")
def graph():
    return graph_by_hand()


@pytest.fixture()
def content(graph):
    pruned = prune(graph)
    kept = [i for i in range(len(graph.units)) if pruned.nodes[i]]
    groups = group(graph, {"say x": kept[:2], "other": kept[2:3]})
    return viewer_json(graph, pruned, "a-graph", groups=groups, labels={kept[0]: "a label"})


def test_a_whole_graph_comes_back(graph, tmp_path):
    found = load_graph(save_graph(graph, tmp_path / "graph.safetensors"))
    for name in Graph.__dataclass_fields__:
        kept, read = getattr(graph, name), getattr(found, name)
        assert torch.equal(kept, read) if isinstance(kept, torch.Tensor) else kept == read, name
    assert str(found.node(3)) == str(graph.node(3))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_graph_file_cut_short_is_named(graph, tmp_path, share):
    path = save_graph(graph, tmp_path / "graph.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match="cut short"):
        load_graph(path)


def test_a_flipped_bit_and_another_file_are_refused(graph, tmp_path):
    from utils.sealed import write_sealed

    path = save_graph(graph, tmp_path / "graph.safetensors")
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(ValueError, match="altered or damaged"):
        load_graph(path)
    with pytest.raises(ValueError, match="no graph that save_graph wrote"):
        load_graph(write_sealed(tmp_path / "other.safetensors", {"a": torch.zeros(2)}))
    with pytest.raises(FileNotFoundError, match="missing.safetensors"):
        load_graph(tmp_path / "missing.safetensors")


def test_a_viewers_file_has_what_viewers_need(graph, content):
    assert set(content) == {"metadata", "qParams", "nodes", "links"}
    assert content["metadata"]["prompt_tokens"] == graph.words
    kinds = {node["feature_type"] for node in content["nodes"]}
    assert {"cross layer transcoder", "mlp reconstruction error", "embedding", "logit"} >= kinds
    assert [n["is_target_logit"] for n in content["nodes"] if n["feature_type"] == "logit"] == [True, False, False]
    ids = [node["node_id"] for node in content["nodes"]]
    assert len(set(ids)) == len(ids)
    assert all(link["source"] in ids and link["target"] in ids for link in content["links"])
    pruned = prune(graph)
    assert len(content["links"]) == int(pruned.edges.sum())
    one = content["links"][0]
    target, source = pruned.edges.nonzero()[0].tolist()
    assert one["source"] == node_name(graph.node(source)) and one["target"] == node_name(graph.node(target))
    assert one["weight"] == pytest.approx(float(graph.adjacency[target, source]))
    labelled = [node for node in content["nodes"] if node["clerp"] == "a label"]
    assert len(labelled) == 1
    # as circuit-tracer numbers it: Cantor's pair of block and latent
    unit = next(node for node in content["nodes"] if node["feature_type"] == "cross layer transcoder")
    layer, number, position = map(int, unit["node_id"].split("_"))
    assert unit["feature"] == (layer + number) * (layer + number + 1) // 2 + number
    assert unit["ctx_idx"] == position and unit["layer"] == str(layer)


def test_supernodes_are_pinned(content):
    names = [name for name, *_ in content["qParams"]["supernodes"]]
    assert names == ["say x", "other"]
    members = [m for _, *some in content["qParams"]["supernodes"] for m in some]
    assert content["qParams"]["pinnedIds"] == members
    assert set(members) <= {node["node_id"] for node in content["nodes"]}


def test_neurons_are_called_neurons(graph):
    from dataclasses import replace

    content = viewer_json(replace(graph, basis="neurons", rule="half"), prune(graph), "neurons")
    assert "mlp neuron" in {node["feature_type"] for node in content["nodes"]}


def test_written_read_and_listed(content, tmp_path):
    path = write_viewer(content, tmp_path / "graphs")
    assert path.name == "a-graph.json" and read_viewer(path) == content
    write_viewer(content, tmp_path / "graphs")
    write_viewer({**content, "metadata": {**content["metadata"], "slug": "second"}}, tmp_path / "graphs")
    listed = json.loads((tmp_path / "graphs" / "graph-metadata.json").read_text())
    assert [entry["slug"] for entry in listed["graphs"]] == ["a-graph", "second"]


def test_a_viewers_file_cut_short_is_named(content, tmp_path):
    path = write_viewer(content, tmp_path)
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match="cut short or no JSON"):
        read_viewer(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="no text"):
        read_viewer(path)
    path.write_text("[1, 2]")
    with pytest.raises(ValueError, match="holds no graph"):
        read_viewer(path)
    with pytest.raises(FileNotFoundError):
        read_viewer(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c.pop("links"), "has no links"),
        (lambda c: c["metadata"].pop("slug"), "metadata lacks slug"),
        (lambda c: c["nodes"][0].pop("layer"), r"nodes\[0\] lacks layer"),
        (lambda c: c["links"][1].update(source="nobody"), r"links\[1\] leads from or to a node that isn't there"),
        (lambda c: c["links"][0].update(weight=float("nan")), "not a finite number"),
        (lambda c: c["nodes"].append(dict(c["nodes"][0])), "same node_id"),
    ],
    ids=["links", "slug", "layer", "nobody", "nan", "twice"],
)
def test_what_is_not_whole_is_not_written(content, tmp_path, spoil, message):
    whole = json.loads(json.dumps(content))
    spoil(whole)
    with pytest.raises(ValueError, match=message):
        write_viewer(whole, tmp_path)


def test_names_and_prunings_that_do_not_fit(graph):
    with pytest.raises(ValueError, match="slug must be"):
        viewer_json(graph, prune(graph), "a/b")
    with pytest.raises(ValueError, match="pruned is of a graph of"):
        viewer_json(graph, prune(graph_by_hand(n_units=5)), "a")
