"""Which ATen operators do no multiply-adds of their own; for the rest a counter has a rule, or says that it has none."""

from __future__ import annotations

from typing import Any

import torch

#: Data movement, reductions, pooling, resampling, normalization, indexing, random numbers, checks: not counted, by definition. Leading
#: underscores are left out. Views and operators that PyTorch tags as pointwise need no entry.
NOT_COUNTED = frozenset(
    """adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d affine_grid_generator
    all alpha_dropout amax amin aminmax any arange argmax argmin argsort as_strided_copy assert_async assert_scalar assert_tensor_metadata avg_pool1d
    avg_pool2d avg_pool3d batch_norm bernoulli bernoulli_ broadcast_tensors bucketize cat celu_ channel_shuffle chunk clone col2im concat
    conj_physical constant_pad_nd contiguous copy copy_ cosine_similarity count_nonzero cummax cummin cumprod cumsum diff dropout dropout_
    efficientzerotensor embedding embedding_bag embedding_renorm_ empty empty_like empty_permuted empty_strided expand_as exponential_ eye
    feature_alpha_dropout feature_dropout feature_dropout_ fill_ flatten flip fractional_max_pool2d full full_like fused_rms_norm gather glu
    grid_sampler grid_sampler_2d grid_sampler_3d group_norm gumbel_softmax hardswish hardswish_ histc im2col index index_add index_add_ index_copy
    index_copy_ index_fill index_fill_ index_put index_put_ index_select instance_norm interpolate isin kthvalue layer_norm lift_fresh lift_fresh_copy
    linalg_norm linalg_powsum linalg_vector_norm linspace local_response_norm local_scalar_dense log_softmax logcumsumexp logspace logsumexp mT
    masked_fill_ masked_scatter masked_select masked_softmax max max_pool1d max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices
    max_unpool2d max_unpool3d mean median meshgrid min mode movedim multinomial nanmedian nansum native_batch_norm native_batch_norm_legit
    native_batch_norm_legit_no_training native_dropout native_group_norm native_layer_norm new_empty new_empty_strided new_full new_ones new_zeros
    nonzero nonzero_static norm normal_ normalize numpy_T one_hot ones ones_like outer pack_padded_sequence pad pad_circular pad_enum pixel_shuffle
    pixel_unshuffle prelu prod rand rand_like randint randn randn_like random_ randperm reflection_pad1d reflection_pad2d reflection_pad3d relu6
    repeat repeat_interleave replication_pad1d replication_pad2d replication_pad3d reshape reshape_alias resize_ rms_norm roll rot90 safe_softmax
    scalar_tensor scatter scatter_ scatter_add scatter_add_ scatter_reduce searchsorted segment_reduce select_scatter silu_ slice_scatter softmax
    softmax_backward_data sort split_with_sizes_copy stack std std_mean sum swapaxes take tensor_split thnn_fused_gru_cell thnn_fused_lstm_cell tile
    to to_copy topk tril tril_ tril_indices triu triu_ triu_indices type_as unflatten unfold uniform_ unique unique2 unsafe_index unsafe_split
    unsafe_split_with_sizes unsafe_view upsample_bicubic2d upsample_bicubic2d_aa upsample_bilinear2d upsample_bilinear2d_aa upsample_linear1d
    upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_nearest_exact1d upsample_nearest_exact2d upsample_trilinear3d var var_mean
    view_as weight_norm weight_norm_interface where zero_ zeros zeros_like""".split()  # noqa: SIM905
)


def name_of(operator: Any) -> str:
    """The operator's name without overload, an ATen operator's without namespace too: "convolution", "torchvision::nms"."""
    packet = getattr(operator, "overloadpacket", None)
    if packet is None:
        return str(operator)
    return packet.__name__ if operator.namespace in ("aten", "prim", "prims") else f"{operator.namespace}::{packet.__name__}"


def is_not_compute(operator: Any) -> bool:
    """Whether an ATen operator is known to be no convolution or matrix product."""
    if not isinstance(operator, torch._ops.OpOverload) or operator.namespace not in ("aten", "prim", "prims"):
        return False
    free_tags = {torch.Tag.pointwise, torch.Tag.inplace_view}
    return operator.namespace == "prim" or operator.is_view or bool(free_tags & set(operator.tags)) or name_of(operator).lstrip("_") in NOT_COUNTED
