"""Torch's operators by what they make of a matrix: those that torch takes apart, and those that multiply with none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from harness.evidence import Role

# What operators do with a stored tensor, in float and quantized programs: told by how their names begin, after the
# library, or by a word in them.
_BEGINNINGS: Mapping[Role, tuple[str, ...]] = {
    Role.MULTIPLIED: (
        "conv", "_conv", "groupconv", "linear", "addmm", "matmul", "mm", "_native_multi_head_att",
        "_transformer_encoder",
    ),
    Role.STACKED: ("_grouped_mm", "baddbmm", "bmm", "einsum", "index", "matmul", "select", "unbind"),
}  # fmt: skip
_WORDS: Mapping[Role, str] = {Role.CONVOLVED: "conv", Role.LOOKED_UP: "embedding", Role.INDEXED: "index"}

# Of `aten`: torch runs them as products that its counter knows.
COMPOSED_NAMES = """
    _convolution_mode chain_matmul conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d einsum
    gru_cell inner linalg_matmul linalg_multi_dot linear lstm_cell matmul rnn_relu_cell rnn_tanh_cell
    scaled_dot_product_attention tensordot
"""
COMPOSED = frozenset(f"aten::{name}" for name in COMPOSED_NAMES.split())
# What makes and takes apart lists and tuples.
STRUCTURE = frozenset(f"prim::{part}{what}" for part in ("List", "Tuple") for what in ("Construct", "Unpack"))
# Operators, by library, that move, choose, compare, join, add up, round or normalize numbers, or multiply them one by
# one. Those of `aten` that torch itself calls pointwise need not be here; one in place goes by the name without "_".
NAMES: Mapping[str, str] = {
    "aten": """
        Bool Float FloatImplicit Int IntImplicit ScalarImplicit __and__ __getitem__ __lshift__ __or__ __rshift__
        __xor__ _adaptive_avg_pool2d _adaptive_avg_pool3d _assert_tensor_metadata _cast_Byte _cast_Char _cast_Double
        _cast_Float _cast_Half _cast_Int _cast_Long _cast_Short _embedding_bag _fused_rms_norm _index_put_impl
        _log_softmax _make_per_channel_quantized_tensor _make_per_tensor_quantized_tensor _masked_softmax
        _native_batch_norm_legit _native_batch_norm_legit_no_training _pad_circular _pad_enum _prelu_kernel
        _reshape_alias _safe_softmax _shape_as_tensor _softmax _to_copy _unique2 _unsafe_index _unsafe_view
        _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d
        _upsample_nearest_exact3d _weight_norm _weight_norm_interface absolute adaptive_avg_pool1d adaptive_avg_pool2d
        adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d addr adjoint alias all
        allclose alpha_dropout amax amin aminmax any append arange arccos arccosh arcsin arcsinh arctan arctan2
        arctanh argmax argmin argsort as_strided atleast_1d atleast_2d atleast_3d avg_pool1d avg_pool2d avg_pool3d
        batch_norm bincount block_diag broadcast_tensors broadcast_to bucketize cartesian_prod cat channel_shuffle
        chunk clone col2im column_stack combinations complex concat concatenate conj constant_pad_nd contiguous copy
        cosine_similarity count_nonzero cross cummax cummin cumprod cumsum dequantize detach detach_copy device diag
        diag_embed diagflat diagonal diff dim dist divide dropout dsplit dstack dtype embedding embedding_bag empty
        empty_like equal expand expand_as extend eye fake_quantize_per_channel_affine
        fake_quantize_per_channel_affine_cachemask fake_quantize_per_tensor_affine
        fake_quantize_per_tensor_affine_cachemask feature_alpha_dropout feature_dropout fill fix flatten flip fliplr
        flipud floor_divide frobenius_norm full full_like fused_moving_avg_obs_fake_quant gather ger glu greater
        greater_equal grid_sampler grid_sampler_2d grid_sampler_3d group_norm hardswish histc hsplit hstack im2col
        imag index index_add index_copy index_fill index_put index_reduce index_select insert instance_norm int_repr
        is_complex is_contiguous is_floating_point is_nonzero isclose isin item kron kthvalue layer_norm len less
        less_equal lift_fresh lift_fresh_copy linalg_cross linalg_norm linalg_vector_norm linspace list log_sigmoid
        log_softmax logcumsumexp logsumexp mH mT masked_fill masked_scatter masked_select matrix_H max max_pool1d
        max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices max_unpool2d
        max_unpool3d mean median meshgrid min mode moveaxis movedim msort multiply nanmean nanmedian nansum narrow
        native_batch_norm native_channel_shuffle native_dropout native_group_norm native_layer_norm negative new_empty
        new_full new_ones new_zeros nonzero nonzero_numpy norm norm_except_dim not_equal numel numpy_T one_hot ones
        ones_like outer pad pad_sequence pairwise_distance permute pin_memory pixel_shuffle pixel_unshuffle polar
        prelu prod put q_per_channel_axis q_per_channel_scales q_per_channel_zero_points q_scale q_zero_point qscheme
        quantile quantize_per_channel quantize_per_tensor quantize_per_tensor_dynamic quantized_batch_norm
        quantized_max_pool1d quantized_max_pool2d quantized_max_pool3d rand rand_like randn randn_like ravel real
        reflection_pad1d reflection_pad2d reflection_pad3d renorm repeat repeat_interleave replication_pad1d
        replication_pad2d replication_pad3d requires_grad reshape reshape_as resolve_conj resolve_neg rms_norm roll
        rot90 row_stack scalar_tensor scatter scatter_add scatter_reduce searchsorted select select_scatter size slice
        slice_scatter softmax sort split split_with_sizes squeeze stack std std_mean stride subtract sum swapaxes
        swapdims sym_size t take take_along_dim tensor_split tile to topk trace transpose tril tril_indices triu
        triu_indices type_as unbind unflatten unfold unique unique_consecutive unique_dim unsafe_chunk unsafe_split
        unsafe_split_with_sizes unsqueeze upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d
        upsample_nearest2d upsample_nearest3d upsample_trilinear3d var var_mean view view_as view_as_complex
        view_as_real vsplit vstack where zero zeros zeros_like
    """,
    "quantized": """
        add add_out add_relu add_relu_out add_scalar add_scalar_out add_scalar_relu add_scalar_relu_out batch_norm
        batch_norm1d batch_norm1d_relu batch_norm2d batch_norm2d_relu batch_norm3d batch_norm3d_relu batch_norm_relu
        cat cat_out cat_relu cat_relu_out celu clamp conv1d_prepack conv2d_prepack conv3d_prepack conv_prepack
        conv_transpose1d_prepack conv_transpose2d_prepack conv_transpose3d_prepack dropout elu
        embedding_bag_2bit_rowwise_offsets embedding_bag_2bit_unpack embedding_bag_4bit_rowwise_offsets
        embedding_bag_4bit_unpack embedding_bag_byte_rowwise_offsets embedding_bag_byte_unpack embedding_bag_prepack
        group_norm hardswish instance_norm layer_norm leaky_relu linear_prepack linear_prepack_fp16 max_pool1d
        max_pool2d mul mul_out mul_relu mul_relu_out mul_scalar mul_scalar_out mul_scalar_relu mul_scalar_relu_out
        prelu relu6 sigmoid softmax threshold
    """,
    "quantized_decomposed": """
        dequantize_per_channel dequantize_per_channel_group dequantize_per_tensor dequantize_per_token embedding_2bit
        embedding_4bit embedding_byte quantize_per_channel quantize_per_channel_group quantize_per_tensor
        quantize_per_token
    """,
    "torchao": "choose_qparams_affine dequantize_affine quantize_affine",
    "bitsandbytes": """
        dequantize_4bit dequantize_blockwise int8_mm_dequant int8_vectorwise_dequant int8_vectorwise_quant
        quantize_4bit quantize_blockwise
    """,
    "torchvision": "nms ps_roi_align ps_roi_pool roi_align roi_pool",
}
PLAIN: Mapping[str, frozenset[str]] = {space: frozenset(names.split()) for space, names in NAMES.items()}


def packet_of(kind: str) -> Any:
    """The operator of a name such as ``aten::mm``, as torch's counter knows it; None where this process has none."""
    import torch

    space, _, name = kind.partition("::")
    return getattr(getattr(torch.ops, space), name, None)


@cache
def plain(kind: str) -> bool:
    """Whether an operator multiplies with no matrix."""
    import torch

    space, _, name = kind.partition("::")
    names = (name, name.removesuffix("_"))
    if not PLAIN.get(space, frozenset()).isdisjoint(names):
        return True
    packets = [packet_of(f"{space}::{one}") for one in names]
    return any(
        torch.Tag.pointwise in getattr(packet, overload).tags
        for packet in packets
        if packet is not None
        for overload in packet.overloads()
    )


def roles_of(kinds: Collection[str]) -> tuple[Role, ...] | None:
    """What operators such as ``aten::mm`` or ``quantized::conv2d_relu`` do with a tensor; None where there are none."""
    if not kinds:
        return None
    names = [kind.lower() for kind in kinds]
    own = [name.rpartition("::")[2] for name in names]
    begun = {role for role, starts in _BEGINNINGS.items() if any(name.startswith(starts) for name in own)}
    told = {role for role, word in _WORDS.items() if any(word in name for name in names)}
    return tuple(sorted(begun | told))
