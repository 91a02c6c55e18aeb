// Operators that are not let through: on arguments that do not fit, libtorch's own code reads or writes memory that
// is not theirs instead of refusing. Nearly all are building blocks with a public operator above them that checks.
// Found by test/fuzz/search.mjs on libtorch 1.13, 2.6 and 2.13 (newer ones with their calls in test/fuzz/findings.json), with
// close relatives of those found; no version has all of them.

const faults: Readonly<Record<string, string>> = {
  'it trusts that the operator above it has checked shapes, types and indices': `
    _adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward _batch_norm_impl_index_backward
    _batch_norm_no_update _batch_norm_with_update _batch_norm_with_update_functional
    _cholesky_solve_helper _chunk_cat _convolution_double_backward _compute_linear_combination _convert_indices_from_coo_to_csr
    _cdist_backward _convert_indices_from_csr_to_coo _ctc_loss_backward _cummax_helper _cummin_helper
    _embedding_bag_backward _embedding_bag_dense_backward _embedding_bag_per_sample_weights_backward
    _embedding_bag_sparse_backward _fft_c2c _fft_c2r _fft_r2c _foreach_copy _fused_adagrad _fused_adagrad_
    _fused_adam _fused_adam_ _fused_adamw _fused_adamw_ _fused_sgd _fused_sgd_ _grid_sampler_2d_cpu_fallback
    _grid_sampler_2d_cpu_fallback_backward _index_put_impl _index_put_impl_ _logcumsumexp _masked_softmax_backward _mkldnn_transpose
    _native_batch_norm_legit _native_batch_norm_legit_functional _native_batch_norm_legit_no_training
    _neg_view_copy _new_zeros_with_same_feature_meta _nnpack_spatial_convolution _pdist_backward _pdist_forward _saturate_weight_to_fp16
    _scaled_dot_product_flash_attention_for_cpu_backward _segment_reduce_backward
    _sobol_engine_draw _sobol_engine_ff_ _sobol_engine_initialize_state_ _sobol_engine_scramble_ _stack
    _symeig_helper _thnn_differentiable_gru_cell_backward _thnn_differentiable_lstm_cell_backward
    _transform_bias_rescale_qkv _weight_norm _weight_norm_interface _weight_norm_interface_backward
    adaptive_avg_pool3d_backward batch_norm_backward batch_norm_update_stats embedding_backward
    embedding_dense_backward embedding_sparse_backward grid_sampler_2d_backward grid_sampler_3d_backward log_sigmoid_backward
    log_sigmoid_forward matrix_exp_backward mkldnn_convolution mkldnn_reorder_conv2d_weight mkldnn_reorder_conv3d_weight
    mkldnn_rnn_layer mkldnn_rnn_layer_backward
    native_batch_norm native_batch_norm_backward native_channel_shuffle native_layer_norm_backward
    slow_conv3d slow_conv3d_forward unfold_backward`,
  'it writes to the places that the indices name, which nobody has checked': `
    adaptive_max_pool2d_backward adaptive_max_pool3d_backward fractional_max_pool2d_backward
    fractional_max_pool3d_backward max_pool2d_with_indices_backward max_pool3d_with_indices_backward`,
  'libtorch 2 does not count the dimensions of what it pads; pad with a mode does': `
    reflection_pad1d reflection_pad1d_backward reflection_pad2d reflection_pad2d_backward reflection_pad3d
    reflection_pad3d_backward replication_pad1d replication_pad1d_backward replication_pad2d
    replication_pad2d_backward replication_pad3d replication_pad3d_backward`,
  'it makes a sparse tensor whose indices nobody has checked': `
    _sparse_bsc_tensor_unsafe _sparse_bsr_tensor_unsafe _sparse_compressed_tensor_unsafe _sparse_coo_tensor_unsafe
    _sparse_coo_tensor_with_dims_and_tensors _sparse_csc_tensor_unsafe _sparse_csr_tensor_unsafe`,
  'it does not check that the storage holds the shape asked for': `
    _reshape_alias _reshape_alias_copy set set_`,
  'it takes a pointer out of the bytes of a tensor': `
    fbgemm_linear_quantize_weight fbgemm_linear_fp16_weight fbgemm_linear_fp16_weight_fp32_activation fbgemm_linear_int8_weight
    fbgemm_linear_int8_weight_fp32_activation fbgemm_pack_gemm_matrix_fp16 fbgemm_pack_quantized_matrix quantized_gru_cell quantized_lstm_cell quantized_rnn_relu_cell
    quantized_rnn_tanh_cell`,
  'it reads as many bins as the input has columns, however many are given': `
    _histogramdd_bin_edges _histogramdd_from_bin_cts _histogramdd_from_bin_tensors histogramdd`,
  'it multiplies weights of 4 bits, which are packed by numbers that nobody has checked': `
    _dyn_quant_matmul_4bit _dyn_quant_pack_4bit_weight`,
  'it loops as often as its numbers say, for hours if need be': 'choose_qparams_optimized',
  'it belongs to a transformation of whole programs that is not running': '_add_batch_dim _remove_batch_dim',
  'nested tensors are a prototype in this libtorch, without sizes that could be read': `
    _nested_compute_contiguous_strides_offsets _nested_from_padded _nested_from_padded_and_nested_example _nested_select_backward _nested_sum_backward
    _nested_tensor_from_mask _nested_tensor_from_mask_left_aligned _nested_tensor_from_tensor_list
    _nested_tensor_layer_norm _nested_tensor_offsets _nested_tensor_size _nested_tensor_softmax_with_shape
    _nested_tensor_strides _nested_view_from_buffer _nested_view_from_buffer_copy nested_to_padded_tensor`,
  'it is for named dimensions, which have no form here': 'align_tensors',
};

/** Operators by name, and what is wrong with each. */
export const unsafeOperators: ReadonlyMap<string, string> = new Map(
  Object.entries(faults).flatMap(([fault, names]) =>
    names
      .trim()
      .split(/\s+/)
      .map((name) => [`aten::${name}`, fault] as const),
  ),
);
