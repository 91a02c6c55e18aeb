// Operators that are not let through: on arguments that do not fit, libtorch's own code reads or writes memory that
// is not theirs instead of refusing. Each is one of libtorch's building blocks and has a public operator above it
// that checks. Found by test/fuzz.mjs, on libtorch 1.13; neighbours with the same flaw by reading.

const faults: Readonly<Record<string, string>> = {
  'it trusts that the operator above it has checked shapes and types': `
    _compute_linear_combination _convert_indices_from_csr_to_coo _fft_c2c _fft_c2r _fft_r2c _new_zeros_with_same_feature_meta
    _pdist_backward _pdist_forward _stack _symeig_helper _transform_bias_rescale_qkv native_channel_shuffle
    _thnn_differentiable_gru_cell_backward _thnn_differentiable_lstm_cell_backward`,
  'it does not check that the storage holds the shape asked for': 'set set_',
  'it takes a pointer out of the bytes of a tensor': `
    fbgemm_linear_fp16_weight fbgemm_linear_fp16_weight_fp32_activation fbgemm_linear_int8_weight
    fbgemm_linear_int8_weight_fp32_activation quantized_gru_cell quantized_lstm_cell quantized_rnn_relu_cell
    quantized_rnn_tanh_cell`,
  'it belongs to a transformation of whole programs that is not running': '_add_batch_dim _remove_batch_dim',
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
