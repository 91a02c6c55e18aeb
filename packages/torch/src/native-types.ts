// What the native bridge gives in the form of objects.

/** A schema's argument, as the dispatcher knows it; names are in camelCase. */
export interface SchemaArgument {
  name: string;
  /** The schema's type: 'Tensor', 'Tensor?', 'int[]', 'ScalarType?', ... */
  type: string;
  /** The N of `int[N]`: a single number stands for N equal ones. */
  size?: number;
  hasDefault: boolean;
  /** The default is an empty list, so that one may be given. */
  mayBeEmpty: boolean;
  keywordOnly: boolean;
  written: boolean;
}

export interface SchemaOverload {
  /** The operator's place in the native table. */
  index: number;
  overload: string;
  schema: string;
  arguments: SchemaArgument[];
  returns: string[];
  /** For in-place and `out` operators: which arguments the results are. */
  returnedArguments?: number[];
}

/** What the process runs on. */
export interface BuildInfo {
  libtorch: string;
  threads: number;
  /** Vector instructions that libtorch's kernels use, such as 'AVX2' or 'AVX512': with others, sums have another order. */
  instructions: string;
  /** Family and model of the processor's cores and all their vector instructions: a BLAS library may use others than libtorch. */
  core: string;
  /** Whether there is a GPU that operators can run on. */
  cuda: boolean;
  /** The GPU's name. */
  device?: string;
  mkldnn: boolean;
  mkl: boolean;
  /** The file that holds the matrix product in use. */
  blas: string;
}
