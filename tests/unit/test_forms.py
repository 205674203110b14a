import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.forms import LOWERINGS, Form, Stop, route

TORCH, INT8, EXPORTED, OPENVINO = Form.TORCH, Form.TORCH_INT8, Form.EXPORTED, Form.OPENVINO
PRUNE = Stop("prune", {TORCH: TORCH})
QUANTIZE = Stop("quantize", {TORCH: INT8, OPENVINO: OPENVINO})
TO_TORCH = Stop("torch", {TORCH: TORCH, INT8: INT8, EXPORTED: EXPORTED})
TO_OPENVINO = Stop("openvino", {OPENVINO: OPENVINO})


@pytest.mark.parametrize(
    ("start", "stops", "forms"),
    [
        (TORCH, [TO_TORCH], (TORCH,)),
        (TORCH, [TO_OPENVINO], (OPENVINO,)),
        (TORCH, [QUANTIZE, TO_TORCH], (TORCH, INT8)),
        # A quantized module cannot be lowered, so the model is lowered before it is quantized.
        (TORCH, [QUANTIZE, TO_OPENVINO], (OPENVINO, OPENVINO)),
        (TORCH, [PRUNE, QUANTIZE, TO_OPENVINO], (TORCH, OPENVINO, OPENVINO)),
        # Lowered as late as possible: pruning works on modules.
        (TORCH, [PRUNE, PRUNE, TO_OPENVINO], (TORCH, TORCH, OPENVINO)),
        (EXPORTED, [QUANTIZE, TO_OPENVINO], (OPENVINO, OPENVINO)),
        (EXPORTED, [TO_TORCH], (EXPORTED,)),
        (TORCH, [], ()),
    ],
)
def test_a_model_takes_the_road_with_the_fewest_lowerings(start, stops, forms):
    assert route(start, stops) == forms


@pytest.mark.parametrize(
    ("start", "stops", "sentence"),
    [
        (EXPORTED, [PRUNE], "prune takes torch module, but the source gives an exported program"),
        (TORCH, [Stop("a", {TORCH: INT8}), PRUNE], "prune takes torch module, but a gives a quantized torch module"),
        (
            TORCH,
            [Stop("a", {TORCH: INT8}), TO_OPENVINO],
            "openvino takes OpenVINO model, but a gives a quantized torch",
        ),
        (OPENVINO, [TO_TORCH], "but the source gives an OpenVINO model"),
        (TORCH, [Stop("nothing", {})], "nothing takes nothing, but the source gives a torch module"),
    ],
)
def test_what_does_not_compose_says_where_and_why(start, stops, sentence):
    with pytest.raises(ValueError, match="takes") as caught:
        route(start, stops)
    assert sentence in str(caught.value)


stops = st.lists(
    st.builds(Stop, st.just("stop"), st.dictionaries(st.sampled_from(Form), st.sampled_from(Form), max_size=3)),
    max_size=4,
)


@given(start=st.sampled_from(Form), stops=stops)
def test_a_road_is_walkable_and_is_found_whenever_there_is_one(start, stops):
    def walk(form, left, history):
        if not left:
            yield history
            return
        for entry in (form, *LOWERINGS.get(form, ())):
            if entry in left[0].forms:
                yield from walk(left[0].forms[entry], left[1:], (*history, entry))

    roads = list(walk(start, stops, ()))
    if not roads:
        with pytest.raises(ValueError, match="takes"):
            route(start, stops)
    else:
        found = route(start, stops)
        assert found in roads

        def lowerings(road):
            form, count = start, 0
            for stop, entry in zip(stops, road, strict=True):
                count += entry is not form
                form = stop.forms[entry]
            return count

        assert lowerings(found) == min(map(lowerings, roads))
