"""What this family does to OpenVINO graphs: static int8 by NNCF, and float16 constants."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.artifacts.openvino import decoder_inputs, import_openvino, is_decoder, layers
from harness.errors import MethodError
from harness.forms import Subject
from harness.methods.layers import chosen

if TYPE_CHECKING:
    from harness.data.base import Batch, Split
    from harness.methods.base import Workshop
    from harness.methods.quantization.int8_static import Int8Static
    from harness.methods.quantization.weight_only import WeightOnly

# What NNCF logs, at the level of debugging, of each layer whose inputs it scales.
SCALED = " AWQ for: "
# Our names for NNCF's.
_OVERFLOW_FIXES = {"none": "disable", "first-layer": "first_layer_only", "all": "enable"}


def quantize(subject: Subject, workshop: Workshop, options: Int8Static, correct_biases: bool = True) -> Subject:
    """Quantize weights (per channel) and activations (per tensor) of an OpenVINO graph to 8 bits, calibrated.

    Ranges come from every calibration sample; biases are corrected for the shift that rounding causes (Nagel et al.,
    *Data-Free Quantization*, 2019, section 4.2), and channels may be smoothed first (Xiao et al., *SmoothQuant*, 2023).

    Raises:
        MethodError: there is no calibration data, `keep_float` names no layer, or NNCF refuses the graph.
    """
    calibration = workshop.calibration("int8-static calibrates")
    kept = chosen("keep_float", options.keep_float, [node.get_friendly_name() for node, _ in layers(subject.model)])
    import_openvino()
    import nncf

    workshop.progress(f"calibrating on {len(calibration)} samples")
    samples = nncf.Dataset(Samples(calibration), lambda batch: {i: each.numpy() for i, each in enumerate(batch.inputs)})
    advanced = nncf.AdvancedQuantizationParameters(
        disable_bias_correction=not correct_biases, overflow_fix=nncf.OverflowFix(_OVERFLOW_FIXES[options.overflow_fix])
    )
    if options.smooth_quant_alpha is not None:
        advanced.smooth_quant_alphas = nncf.AdvancedSmoothQuantParameters(
            convolution=options.smooth_quant_alpha, matmul=options.smooth_quant_alpha
        )
    with _quiet():
        try:
            model = nncf.quantize(
                subject.model,
                samples,
                preset=nncf.QuantizationPreset(options.preset),
                model_type=None if options.model_type is None else nncf.ModelType(options.model_type),
                subset_size=len(calibration),
                fast_bias_correction=options.fast_bias_correction,
                ignored_scope=nncf.IgnoredScope(names=sorted(kept)) if kept else None,
                advanced_parameters=advanced,
            )
        except (nncf.ValidationError, nncf.UnsupportedModelError, RuntimeError) as error:
            raise MethodError(f"NNCF cannot quantize this model: {error}") from error
    return replace(subject, model=model)


class Samples:
    """A split, one sample at a time, as often as it is walked through: nothing is held but the sample in hand."""

    def __init__(self, split: Split) -> None:
        self._split = split

    def __iter__(self) -> Iterator[Batch]:
        return self._split.batches(1)

    def __len__(self) -> int:
        return len(self._split)


def compress_weights(model: Any, options: WeightOnly, workshop: Workshop) -> Any:
    """The graph with the weights of its matrix products and embeddings in few bits; widened as they are used.

    Raises:
        MethodError: NNCF refuses the graph, there is no data to calibrate on, `keep_float` names no layer, or there is
            nothing for `awq` to scale.
    """
    kept = chosen("keep_float", options.keep_float, [node.get_friendly_name() for node, _ in layers(model)])
    import_openvino()
    import nncf

    samples, size = None, 128
    if options.calibrated:
        calibration = workshop.calibration("weight-only with awq, scale_estimation or gptq calibrates")
        size, decodes = len(calibration), is_decoder(model)
        workshop.progress(f"calibrating on {size} samples")

        def fed(batch: Batch) -> dict[Any, Any]:
            if decodes:
                return decoder_inputs(model, batch.inputs[0].numpy())
            return {place: each.numpy() for place, each in enumerate(batch.inputs)}

        samples = nncf.Dataset(Samples(calibration), fed)
    kind = "SYM" if options.symmetric else "ASYM"
    with _quiet(), _heard() as said:
        try:
            compressed = nncf.compress_weights(
                model,
                mode=nncf.CompressWeightsMode[f"INT{options.bits}_{kind}"],
                group_size=(options.group_size or 128) if options.bits == 4 else None,
                all_layers=options.all_layers if options.bits == 4 else None,
                ratio=options.ratio,
                ignored_scope=nncf.IgnoredScope(names=sorted(kept)) if kept else None,
                dataset=samples,
                subset_size=size,
                awq=options.awq or None,
                scale_estimation=options.scale_estimation or None,
                gptq=options.gptq or None,
            )
        except (nncf.ValidationError, nncf.UnsupportedModelError, RuntimeError) as error:
            raise MethodError(f"NNCF cannot compress the weights of this model: {error}") from error
    # Where it finds nothing to scale, NNCF rounds as if it had not been asked.
    if options.awq and not any(SCALED in line for line in said):
        raise MethodError(
            "awq scales what enters a layer that takes 4 bits, where it comes from an activation or another layer, and "
            "NNCF found no such place in this model: leave `awq` out"
        )
    return compressed


def compress_to_float16(model: Any) -> Any:
    """The graph with its float32 constants stored as float16 and widened when the model is loaded.

    Halves the file; arithmetic stays float32. Constants whose values float16 cannot hold stay as they are.
    """
    openvino = import_openvino()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "half.xml"
        openvino.save_model(model, path, compress_to_fp16=True)
        core = openvino.Core()
        # The constants must outlive the file.
        core.set_property({"ENABLE_MMAP": False})
        return core.read_model(path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """NNCF draws progress bars and logs what it is about to do; neither belongs in a report."""
    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _heard() -> Iterator[list[str]]:
    """What NNCF logs within it, whatever the level; nothing is shown that would not be."""
    logger, lines = logging.getLogger("nncf"), list[str]()
    level = logger.level

    def note(record: logging.LogRecord) -> bool:
        lines.append(record.getMessage())
        return record.levelno >= level

    logger.addFilter(note)
    logger.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        logger.setLevel(level)
        logger.removeFilter(note)
