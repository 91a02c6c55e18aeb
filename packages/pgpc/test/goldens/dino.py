# Outputs of small DINOv2 and DINOv3 encoders, by the authors' own code and by HuggingFace's transformers.
#
#   python dino.py DINOV2 DINOV3 > dino.outputs.json
#
# DINOV2 and DINOV3 are checkouts of github.com/facebookresearch/dinov2 and dinov3. Weights and inputs follow the rule of
# the other goldens, with the names that each side's files have.

import json
import math
import sys
import zlib

import numpy as np
import torch

PERIOD = 65536


def filled(name, shape):
    count = math.prod(shape)
    h = zlib.crc32(name.encode())
    s = np.sin((np.arange(count) % PERIOD) * 12.9898 + (h % 10007) * 78.233) * 43758.5453
    v = s - np.floor(s) - 0.5
    if name.endswith(("gamma", "lambda1")):
        v = 0.1 + 0.02 * v
    elif name.endswith(("token", "tokens", "pos_embed", "position_embeddings")):
        v = 0.04 * v
    elif len(shape) == 1:
        v = 1 + 0.2 * v if name.endswith("weight") else 0.1 * v
    else:
        v = v * math.sqrt(3 / math.prod(shape[1:]))
    return torch.tensor(v, dtype=torch.float32).view(shape)


def outputs_of(name, form, network, model, shape, run):
    """`network`: what tells ours how to build the same. `run` gives maps (B, D, h, w) by name."""
    state = {key: value for key, value in model.state_dict().items()}
    kept = [key for key in state if key.endswith(("periods", "bias_mask"))]
    # ConvNeXt's closing norm is there under two names.
    names = [key for key in state if not key.startswith("norms.") and key not in kept]
    model.load_state_dict({key: filled(key, state[key].shape) for key in names}, strict=False)
    model.eval()
    i = np.arange(math.prod(shape))
    image = torch.tensor(1.5 * np.sin(0.01 * i) + 0.5 * np.cos(0.0037 * i), dtype=torch.float32).view(shape)
    with torch.no_grad():
        maps = run(model, image)
    outputs = []
    for key, value in maps.items():
        flat = value.contiguous().flatten()
        indices = [k * (len(flat) - 1) // 15 for k in range(16)]
        outputs.append({
            "name": key,
            "shape": list(value.shape),
            "mean": float(flat.double().mean()),
            "indices": indices,
            "values": [float(f"{flat[index]:.9g}") for index in indices],
        })
    # Buffers that the authors compute keep their values.
    entries = [[key, list(value.shape), *([value.tolist()] if key in kept else [])] for key, value in state.items()]
    return {"name": name, "form": form, "network": network, "entries": entries, "input_shape": list(shape), "outputs": outputs}


SMALL = {"dim": 128, "depth": 4, "heads": 2}


def official_vit(model, image):
    maps = model.get_intermediate_layers(image, n=[0, 1, 2, 3], reshape=True)
    return {f"block{i + 1}": value for i, value in enumerate(maps)}


def huggingface_vit(registers):
    def run(model, image):
        patch = model.config.patch_size
        states = model(image, output_hidden_states=True).hidden_states[1:]
        norm = model.layernorm if hasattr(model, "layernorm") else model.norm
        height, width = image.shape[2] // patch, image.shape[3] // patch
        maps = [norm(state)[:, 1 + registers:].transpose(1, 2).unflatten(2, (height, width)) for state in states]
        return {f"block{i + 1}": value for i, value in enumerate(maps)}

    return run


def dinov2_cases():
    from dinov2.models.vision_transformer import DinoVisionTransformer

    size = {"embed_dim": 128, "depth": 4, "num_heads": 2, "img_size": 70, "patch_size": 14}
    common = {**size, "init_values": 1.0, "block_chunks": 0}
    plain = {"positions": {"side": 5, "offset": 0.1, "antialias": False}, "registers": 0}
    registers = {"positions": {"side": 5, "offset": 0, "antialias": True}, "registers": 4}
    for name, network, options in [
        ("plain", {**plain, "ffn": "mlp", "hidden": 512}, {}),
        ("gated", {**plain, "ffn": "swiglu joined", "hidden": 344}, {"ffn_layer": "swiglufused"}),
        (
            "registers",
            {**registers, "ffn": "mlp", "hidden": 512},
            {"num_register_tokens": 4, "interpolate_antialias": True, "interpolate_offset": 0.0},
        ),
    ]:
        for shape in [(1, 3, 70, 70), (2, 3, 42, 98)]:
            model = DinoVisionTransformer(**common, **options)
            described = {**SMALL, **network, "patch": 14, "eps": 1e-6}
            yield outputs_of(f"{name} {shape[2]}x{shape[3]}", "dinov2-official", described, model, shape, official_vit)


def dinov3_cases():
    from dinov3.models.convnext import ConvNeXt
    from dinov3.models.vision_transformer import DinoVisionTransformer

    common = {
        **{"embed_dim": 128, "depth": 4, "num_heads": 2, "img_size": 64, "patch_size": 16},
        **{"pos_embed_rope_dtype": "fp32", "pos_embed_rope_rescale_coords": 2, "layerscale_init": 1e-5},
        **{"norm_layer": "layernormbf16", "n_storage_tokens": 4, "mask_k_bias": True},
    }
    for name, network, options in [
        ("plain", {"ffn": "mlp", "hidden": 512}, {}),
        ("gated", {"ffn": "swiglu", "hidden": 512}, {"ffn_layer": "swiglu", "ffn_ratio": 6}),
    ]:
        model = DinoVisionTransformer(**common, **options)
        model.init_weights()
        described = {**SMALL, **network, "patch": 16, "eps": 1e-5, "registers": 4, "positions": "rotary"}
        yield outputs_of(name, "dinov3-official", described, model, (2, 3, 48, 80), official_vit)

    def stages(model, image):
        maps = model.get_intermediate_layers(image, n=[0, 1, 2, 3], reshape=True)
        return {f"stage{i + 1}": value for i, value in enumerate(maps)}

    model = ConvNeXt(depths=[1, 1, 2, 1], dims=[8, 16, 24, 32])
    model.init_weights()
    network = {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 32]}
    yield outputs_of("convnext", "dinov3-convnext-official", network, model, (2, 3, 64, 96), stages)


def huggingface_cases():
    import transformers as hub

    size = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 2}
    second = {**size, "image_size": 70, "patch_size": 14}
    plain = {"positions": {"side": 5, "offset": 0.1, "antialias": False}, "registers": 0}
    described = {**SMALL, **plain, "ffn": "mlp", "hidden": 512, "patch": 14, "eps": 1e-6}
    model = hub.Dinov2Model(hub.Dinov2Config(**second))
    yield outputs_of("plain", "dinov2-huggingface", described, model, (1, 3, 70, 70), huggingface_vit(0))
    gated = {**described, "ffn": "swiglu joined", "hidden": 344}
    model = hub.Dinov2Model(hub.Dinov2Config(**second, use_swiglu_ffn=True))
    yield outputs_of("gated", "dinov2-huggingface", gated, model, (1, 3, 70, 70), huggingface_vit(0))
    registers = {**described, "positions": {"side": 5, "offset": 0, "antialias": True}, "registers": 4}
    model = hub.Dinov2WithRegistersModel(hub.Dinov2WithRegistersConfig(**second, num_register_tokens=4))
    yield outputs_of("registers", "dinov2-huggingface", registers, model, (2, 3, 42, 98), huggingface_vit(4))
    third = {**size, "patch_size": 16, "num_register_tokens": 4, "intermediate_size": 512}
    described = {**SMALL, "ffn": "mlp", "hidden": 512, "patch": 16, "eps": 1e-5, "registers": 4, "positions": "rotary"}
    model = hub.DINOv3ViTModel(hub.DINOv3ViTConfig(**third))
    yield outputs_of("plain", "dinov3-huggingface", described, model, (2, 3, 48, 80), huggingface_vit(4))
    model = hub.DINOv3ViTModel(hub.DINOv3ViTConfig(**third, use_gated_mlp=True, hidden_act="silu"))
    gated = {**described, "ffn": "swiglu"}
    yield outputs_of("gated", "dinov3-huggingface", gated, model, (2, 3, 48, 80), huggingface_vit(4))
    config = hub.DINOv3ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1])
    model = hub.DINOv3ConvNextModel(config)

    def stages(model, image):
        states = list(model(image, output_hidden_states=True).hidden_states[-4:])
        states[3] = model.layer_norm(states[3].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return {f"stage{i + 1}": value for i, value in enumerate(states)}

    network = {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 32]}
    yield outputs_of("convnext", "dinov3-convnext-huggingface", network, model, (2, 3, 64, 96), stages)


sys.path += sys.argv[1:]
cases = [*dinov2_cases(), *dinov3_cases(), *huggingface_cases()]
print(json.dumps({"torch": torch.__version__, "cases": cases}))
