// The sizes of DINOv2's and DINOv3's plain transformers, by which configurations are checked and the networks made.

/** How DINOv2's authors resize the embedding to another grid of patches; their two releases differ in it. */
export interface PositionResizing {
  /** Patches added to the grid's side before the scale is computed from it; 0: the scale is that of the sizes. */
  readonly offset: number;
  readonly antialias: boolean;
}

/** The layers between two attentions: an MLP, or SwiGLU with its first two matrices joined in one or apart. */
type FfnForm = 'mlp' | 'swiglu joined' | 'swiglu';

/** What tells these transformers apart. */
export interface VitConfig {
  readonly dim: number;
  readonly depth: number;
  readonly heads: number;
  /** Pixels a side of a patch. */
  readonly patch: number;
  /** Tokens that belong to no patch, beside the class token. */
  readonly registers: number;
  readonly ffn: FfnForm;
  /** Width between the layers of the `ffn`. */
  readonly hidden: number;
  /** Of the layer norms. */
  readonly eps: number;
  /** Learned for a square grid of `side` patches, or rotations of queries and keys. */
  readonly positions: (PositionResizing & { readonly side: number }) | 'rotary';
  /** What the scales of the residual branches begin with. */
  readonly layerScale: number;
}

type Size = Pick<VitConfig, 'dim' | 'depth' | 'heads' | 'ffn' | 'hidden'>;

const mlp = (dim: number, depth: number, heads: number): Size => ({
  dim,
  depth,
  heads,
  ffn: 'mlp',
  hidden: 4 * dim,
});

const small = mlp(384, 12, 6);
const base = mlp(768, 12, 12);
const large = mlp(1024, 24, 16);
const giant: Size = { dim: 1536, depth: 40, heads: 24, ffn: 'swiglu joined', hidden: 4096 };

const second = (size: Size): VitConfig => ({
  ...size,
  patch: 14,
  registers: 0,
  eps: 1e-6,
  positions: { side: 37, offset: 0.1, antialias: false },
  layerScale: 1,
});

const secondWithRegisters = (size: Size): VitConfig => ({
  ...second(size),
  registers: 4,
  positions: { side: 37, offset: 0, antialias: true },
});

const third = (size: Size): VitConfig => ({
  ...size,
  patch: 16,
  registers: 4,
  eps: 1e-5,
  positions: 'rotary',
  layerScale: 1e-5,
});

/** DINOv3's `plus` sizes: SwiGLU of four times the width. */
const plus = (size: Size): Size => ({ ...size, ffn: 'swiglu', hidden: 4 * size.dim });

const table = {
  dinov2_vits14: second(small),
  dinov2_vitb14: second(base),
  dinov2_vitl14: second(large),
  dinov2_vitg14: second(giant),
  dinov2_vits14_reg: secondWithRegisters(small),
  dinov2_vitb14_reg: secondWithRegisters(base),
  dinov2_vitl14_reg: secondWithRegisters(large),
  dinov2_vitg14_reg: secondWithRegisters(giant),
  dinov3_vits16: third(small),
  dinov3_vits16plus: third(plus(small)),
  dinov3_vitb16: third(base),
  dinov3_vitl16: third(large),
  dinov3_vith16plus: third(plus(mlp(1280, 32, 20))),
} satisfies Record<string, VitConfig>;

/** DINOv2's transformers, `_reg` with registers, and DINOv3's. */
export type VitName = keyof typeof table;
export const vitConfigs: Readonly<Record<VitName, VitConfig>> = table;
export const vitNames = Object.keys(vitConfigs) as VitName[];

export const isVit = (backbone: string): backbone is VitName => Object.hasOwn(vitConfigs, backbone);
