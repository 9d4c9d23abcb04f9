"""What is shown of a graph: a table, sentences, a drawing."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from quantray import graph, nn
from quantray import quantization as tq
from quantray._tables import Column, Table, wrapped
from quantray.graph._drawing import grouped
from quantray.graph._layout import layout
from quantray.graph._lengths import named

F = nn.functional


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + x)


@pytest.fixture
def images():
    return np.random.default_rng(0).random((4, 3, 8, 8), np.float32)


def captured(model, *args):
    return graph.normalize(graph.capture(model, args))


def drawings(html):
    return [ElementTree.fromstring(found) for found in re.findall(r"<svg.*?</svg>", html)]


def test_a_table_has_a_row_for_each_node_and_parameters_in_those_of_their_takers(images):
    found = captured(Residual(), images)
    head, empty, *lines = repr(found).splitlines()
    assert head == "Graph of 6 nodes: x float32 (n, 3, 8, 8) -> relu#2 float32 (n, 3, 8, 8)"
    assert empty == ""
    assert [line for line in lines if set(line) != {"-"}] == [
        "name    kind    inputs     weights     shape         dtype",
        "x       input                          (n, 3, 8, 8)  float32",
        "first   conv2d  x          3x3x3x3, 3  (n, 3, 8, 8)  float32",
        "relu    relu    first                  (n, 3, 8, 8)  float32",
        "second  conv2d  relu       3x3x3x3, 3  (n, 3, 8, 8)  float32",
        "add     add     second, x              (n, 3, 8, 8)  float32",
        "relu#2  relu    add                    (n, 3, 8, 8)  float32",
    ]


def test_a_converted_graph_shows_codes_with_their_scales(images):
    int8 = tq.quantize(Residual(), images, verbose=False)
    text = repr(int8.graph)
    grid = int8.first.grid
    row = next(line for line in text.splitlines() if line.startswith("first "))
    assert "quint8" in row
    assert f"{grid.scale:.6g}" in row
    assert "Conv2d +" in row
    assert int8.graph.about["second"].in_integers


def test_what_runs_as_python_and_what_was_taken_for_granted_is_said_in_sentences():
    class Decides(nn.Module):
        def forward(self, x):
            return x * 2 if x.sum() > 0 else x

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Decides()

        def forward(self, x):
            return self.inner(x) if x.shape[1] > 3 else x

    text = repr(captured(Model(), np.ones((2, 4), np.float32)))
    assert "runs as Python" in text
    assert re.search(r"^inner runs as Python: test_show\.py:\d+: a decision on values .*\.$", text, re.M)
    assert re.search(r"^For inputs alone where .* > 3 holds \(test_show\.py:\d+\)\.$", text, re.M)


def test_a_float_model_says_how_to_make_a_graph():
    with pytest.raises(
        AttributeError, match=r"Linear has no graph: .*quantray\.graph\.capture\(model, args\)"
    ):
        _ = nn.Linear(2, 2).graph
    assert not hasattr(nn.Linear(2, 2), "graphs")
    with pytest.raises(AttributeError, match="no graph yet: call it"):
        _ = tq.prepare(nn.Sequential(nn.Linear(2, 2))).graph


def test_a_model_may_have_a_graph_of_its_own():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.graph = nn.Linear(2, 2)
            self.graphs = "mine"

        def forward(self, x):
            return self.graph(x)

    model = Model()
    assert isinstance(model.graph, nn.Linear)
    assert model.graphs == "mine"
    assert list(model.state_dict()) == ["graph.weight", "graph.bias"]


def test_a_drawing_tells_integers_from_floats_without_colours(images):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return np.fft.fft(self.layer(x)).real

    html = tq.quantize(Model(), images, verbose=False).graph._repr_html_()
    (svg,) = drawings(html)
    dashed = {
        group.find("title").text.partition(":")[0]: "dasharray" in group.find("rect").get("style")
        for group in svg.iter("g")
    }
    assert dashed == {"x": False, "x.quantize": False, "layer": False, "fft": True, "real": True}
    assert "(n, 3, 8, 8)" in [text.text for text in svg.iter("text")]


def test_notebooks_get_no_script_no_colours_of_their_own_and_escaped_names():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module("<b>&", nn.Linear(2, 2))

        def forward(self, x):
            return getattr(self, "<b>&")(x)

    x = np.ones((2, 2), np.float32)
    for shown in (captured(Model(), x), tq.quantize(Model(), x, verbose=False)):
        html = shown._repr_html_()
        assert "<b>&" not in html.replace("<b>Model</b>", "")
        assert "&lt;b&gt;&amp;" in html
        assert "<script" not in html
        assert "overflow:auto" in html
        assert all(f"var(--jp-brand-color1,{found})" in html for found in re.findall(r"#[0-9a-f]{6}", html))


def test_many_nodes_are_drawn_as_modules():
    model = nn.Sequential(*(nn.Sequential(*(nn.Linear(4, 4) for _ in range(8))) for _ in range(5)))
    html = captured(model, np.ones((2, 4), np.float32))._repr_html_()
    outer, *inner = drawings(html)
    assert [group.find("title").text for group in outer.iter("g")] == [
        "input: input, float32",
        *(f"{i}: 8 nodes, in floats" for i in range(5)),
    ]
    assert len(inner) == 5
    assert html.count("<details style='margin-left") == 5


def test_one_long_module_is_drawn_in_parts():
    found = captured(nn.Sequential(*(nn.Linear(2, 2) for _ in range(100))), np.ones((2, 2), np.float32))
    nodes = [node for node in found if node.kind != "parameter"]
    boxes = grouped(nodes, 0)
    assert 1 < len(boxes) <= 48
    assert [node for box in boxes for node in box.nodes] == nodes


def test_boxes_do_not_overlap_and_wires_go_down():
    wires = {"b": ["a"], "c": ["a"], "d": ["b", "c"], "e": ["d", "a"], "f": ["e", "b"]}
    made = layout("abcdef", wires, 100, 10)
    for layer in made.layers:
        ends = [(spot.x - spot.width / 2, spot.x + spot.width / 2) for spot in layer]
        assert all(right <= left + 1e-6 for (_, right), (left, _) in pairwise(ends))
    for (source, target), way in made.ways.items():
        assert way[0] is made.spots[source]
        assert way[-1] is made.spots[target]
        assert [spot.layer for spot in way] == list(range(way[0].layer, way[-1].layer + 1))
    assert min(spot.x - spot.width / 2 for layer in made.layers for spot in layer) == 0


def test_tables_wrap_where_the_terminal_ends_and_leave_out_empty_columns():
    columns = [Column("name", wraps=True), Column("bytes", right=True), Column("note", optional=True)]
    table = Table(columns, [("encoder.layers.0.attention.projection", "1,024", ""), ("out", "8", "")])
    assert "note" not in table.text()
    assert table.text(30).splitlines()[2:] == [
        "encoder.layers.0.        1,024",
        "attention.projection",
        "out                          8",
    ]
    assert "white-space:nowrap" in table.html()
    assert wrapped("saw -0.25 to 1.5 of model.py:44", 12) == ["saw -0.25 to", "1.5 of", "model.py:44"]


def test_names_of_lengths_become_numbers():
    lengths = {"n": 5, "m": 3}
    given = [4, "n", "2*n", "n*m", "2*n*m", "n+2", "n-1", "n/2", "?", "k"]
    assert [named(length, lengths) for length in given] == [4, 5, 10, 15, 30, 7, 4, 3, "?", "k"]
