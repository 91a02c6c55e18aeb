"""Writes library.json: what PyTorch computes for the layers, losses, optimizers and schedules of @pgpc/torch beyond make-nn.py's.

Run with a Python that has PyTorch (1.13.1 wrote the file that is kept): python3 make-library.py
Every layer is made after torch.manual_seed of its case's number, so that its starting values are known, and called after
torch.manual_seed of that number + 1000, so that what it drops is. Values have 9 significant digits, which a float32
survives unchanged.

A case is a row of a table: its name, how the module is made, its inputs, and where needed how it is called. The test has
a table with the same names.
"""

import json
import pathlib

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

HERE = pathlib.Path(__file__).parent
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)


def dump(tensor):
    tensor = tensor.detach()
    flat = tensor.reshape(-1).tolist()
    if tensor.is_floating_point():
        return {"shape": list(tensor.shape), "data": [float(f"{value:.9g}") for value in flat]}
    kind = "bool" if tensor.dtype == torch.bool else "int64"
    return {"shape": list(tensor.shape), "data": flat, "dtype": kind}


def dump_all(named):
    return {name: dump(tensor) for name, tensor in named}


def flat(result):
    """All tensors of nested tuples, in order."""
    if result is None:
        return []
    return [result] if torch.is_tensor(result) else [tensor for part in result for tensor in flat(part)]


def spread_out_norms(module):
    """Norm layers start at weight 1 and bias 0, which would hide a swapped or missing factor."""
    changed = False
    for part in module.modules():
        if isinstance(part, NORMS) and part.weight is not None:
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
            changed = True
    return changed


def module_case(seed, name, make, inputs, call=None, grads=None, evaluate=False):
    """Output and gradients of a training pass from random gradients of the outputs, then the output in evaluation mode."""
    torch.manual_seed(seed)
    module = make()
    case = {"name": name, "seed": seed, "repr": str(module), "initial": dump_all(module.state_dict().items())}
    if spread_out_norms(module):
        case["state"] = dump_all(module.state_dict().items())
    given = [value() if callable(value) else torch.randn(value) for value in inputs]
    grads = [i for i, value in enumerate(given) if torch.is_floating_point(value)] if grads is None else grads
    for i in grads:
        given[i].requires_grad_()
    run = call or (lambda module, *values: module(*values))
    torch.manual_seed(seed + 1000)
    outputs = flat(run(module, *given))
    seeds = [torch.randn(output.shape) for output in outputs]
    torch.autograd.backward(outputs, seeds)
    case["inputs"] = [dump(value) for value in given]
    case["outputs"] = [dump(output) for output in outputs]
    case["gradOutputs"] = [dump(value) for value in seeds]
    case["gradInputs"] = {str(i): dump(given[i].grad) for i in grads}
    case["gradParameters"] = {key: dump(p.grad) for key, p in module.named_parameters()}
    case["buffersAfter"] = dump_all(module.named_buffers())
    if evaluate:
        module.eval()
        case["evalOutputs"] = [dump(output) for output in flat(run(module, *given))]
    return case


def rows(high, *shape):
    return lambda: torch.randint(0, high, shape)


def signs(*shape):
    return lambda: torch.randint(0, 2, shape).float() * 2 - 1


def shares(*shape):
    return lambda: torch.rand(shape) * 0.8 + 0.1


def positive(*shape):
    return lambda: torch.rand(shape) + 0.2


def causal(size):
    return lambda: torch.ones(size, size).triu(1).bool()


def padded(*lengths):
    return lambda: torch.tensor([[at >= length for at in range(max(lengths))] for length in lengths])


def layers():
    act = (3, 6)
    seq = (5, 2, 3)
    batch_first = (2, 5, 3)
    return [
        ("Conv1d", lambda: nn.Conv1d(3, 4, 3, stride=2, padding=1), [(2, 3, 7)]),
        ("Conv1d same", lambda: nn.Conv1d(2, 3, 4, padding="same", dilation=2), [(2, 2, 9)]),
        ("Conv1d circular", lambda: nn.Conv1d(2, 3, 3, padding=1, padding_mode="circular"), [(1, 2, 6)]),
        ("Conv2d tuple", lambda: nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2)), [(2, 2, 6, 5)]),
        ("Conv2d same", lambda: nn.Conv2d(2, 3, 3, padding="same", groups=1), [(1, 2, 5, 4)]),
        ("Conv2d reflect", lambda: nn.Conv2d(2, 2, 3, padding=(2, 1), padding_mode="reflect", bias=False), [(1, 2, 5, 4)]),
        ("Conv2d replicate", lambda: nn.Conv2d(2, 2, 3, padding="same", padding_mode="replicate"), [(1, 2, 4, 5)]),
        ("Conv2d depthwise tuple", lambda: nn.Conv2d(3, 3, (3, 5), padding=(1, 2), groups=3), [(1, 3, 5, 6)]),
        ("Conv3d", lambda: nn.Conv3d(2, 4, 2, stride=(1, 2, 1), padding=1, groups=2), [(1, 2, 3, 4, 3)]),
        ("ConvTranspose1d", lambda: nn.ConvTranspose1d(3, 2, 3, stride=2, padding=1, output_padding=1), [(2, 3, 4)]),
        ("ConvTranspose2d", lambda: nn.ConvTranspose2d(4, 6, (2, 3), stride=2, groups=2, bias=False), [(1, 4, 3, 2)]),
        ("ConvTranspose3d", lambda: nn.ConvTranspose3d(2, 3, 2, padding=1, dilation=2), [(1, 2, 3, 2, 3)]),
        ("Linear", lambda: nn.Linear(4, 3, bias=False), [(2, 4)]),
        ("Bilinear", lambda: nn.Bilinear(3, 2, 4), [(2, 3), (2, 2)]),
        ("Embedding", lambda: nn.Embedding(5, 3, padding_idx=1), [rows(5, 2, 4)]),
        ("Embedding scaled", lambda: nn.Embedding(4, 2, padding_idx=-1, scale_grad_by_freq=True), [rows(4, 6)]),
        ("BatchNorm1d", lambda: nn.BatchNorm1d(4), [(6, 4)], {"evaluate": True}),
        ("BatchNorm1d sequence", lambda: nn.BatchNorm1d(3, eps=1e-3, momentum=0.3), [(2, 3, 4)], {"evaluate": True}),
        ("BatchNorm3d", lambda: nn.BatchNorm3d(2), [(2, 2, 2, 3, 2)], {"evaluate": True}),
        ("GroupNorm", lambda: nn.GroupNorm(2, 4), [(2, 4, 3, 2)]),
        ("GroupNorm plain", lambda: nn.GroupNorm(3, 3, eps=1e-3, affine=False), [(2, 3, 4)]),
        ("InstanceNorm1d", lambda: nn.InstanceNorm1d(3), [(2, 3, 5)]),
        ("InstanceNorm2d", lambda: nn.InstanceNorm2d(2, affine=True, track_running_stats=True), [(2, 2, 3, 4)],
         {"evaluate": True}),
        ("InstanceNorm3d", lambda: nn.InstanceNorm3d(2, eps=1e-3, momentum=0.2, affine=True), [(1, 2, 2, 3, 2)]),
        ("LayerNorm of two axes", lambda: nn.LayerNorm([3, 4], eps=1e-4), [(2, 3, 4)]),
        ("MaxPool1d", lambda: nn.MaxPool1d(3, stride=2, padding=1), [(2, 2, 7)]),
        ("MaxPool2d", lambda: nn.MaxPool2d((2, 3), stride=(1, 2), dilation=(2, 1), ceil_mode=True), [(1, 2, 6, 6)]),
        ("MaxPool3d", lambda: nn.MaxPool3d(2), [(1, 2, 4, 4, 2)]),
        ("AvgPool1d", lambda: nn.AvgPool1d(2, padding=1), [(2, 2, 5)]),
        ("AvgPool2d", lambda: nn.AvgPool2d((3, 2), stride=2, padding=1, count_include_pad=False), [(1, 2, 5, 4)]),
        ("AvgPool3d", lambda: nn.AvgPool3d(2, ceil_mode=True), [(1, 2, 3, 4, 3)]),
        ("AdaptiveAvgPool1d", lambda: nn.AdaptiveAvgPool1d(3), [(2, 2, 7)]),
        ("AdaptiveAvgPool2d", lambda: nn.AdaptiveAvgPool2d((2, 3)), [(1, 2, 5, 4)]),
        ("AdaptiveAvgPool3d", lambda: nn.AdaptiveAvgPool3d(2), [(1, 2, 3, 4, 5)]),
        ("AdaptiveMaxPool1d", lambda: nn.AdaptiveMaxPool1d(2), [(2, 2, 5)]),
        ("AdaptiveMaxPool2d", lambda: nn.AdaptiveMaxPool2d((3, 1)), [(1, 2, 5, 4)]),
        ("AdaptiveMaxPool3d", lambda: nn.AdaptiveMaxPool3d(2), [(1, 1, 3, 4, 3)]),
        ("GELU", lambda: nn.GELU(), [act]),
        ("GELU tanh", lambda: nn.GELU(approximate="tanh"), [act]),
        ("ReLU", lambda: nn.ReLU(), [act]),
        ("ReLU6", lambda: nn.ReLU6(), [act]),
        ("LeakyReLU", lambda: nn.LeakyReLU(), [act]),
        ("LeakyReLU steep", lambda: nn.LeakyReLU(0.3), [act]),
        ("PReLU", lambda: nn.PReLU(), [act]),
        ("PReLU by channel", lambda: nn.PReLU(3, init=0.1), [(2, 3, 4)]),
        ("ELU", lambda: nn.ELU(alpha=0.7), [act]),
        ("CELU", lambda: nn.CELU(alpha=1.5), [act]),
        ("SELU", lambda: nn.SELU(), [act]),
        ("SiLU", lambda: nn.SiLU(), [act]),
        ("Mish", lambda: nn.Mish(), [act]),
        ("Hardswish", lambda: nn.Hardswish(), [act]),
        ("Hardsigmoid", lambda: nn.Hardsigmoid(), [act]),
        ("Hardtanh", lambda: nn.Hardtanh(min_val=-0.5, max_val=2), [act]),
        ("Softplus", lambda: nn.Softplus(beta=3, threshold=2), [act]),
        ("Softsign", lambda: nn.Softsign(), [act]),
        ("Sigmoid", lambda: nn.Sigmoid(), [act]),
        ("LogSigmoid", lambda: nn.LogSigmoid(), [act]),
        ("Tanh", lambda: nn.Tanh(), [act]),
        ("Softmax", lambda: nn.Softmax(dim=0), [act]),
        ("LogSoftmax", lambda: nn.LogSoftmax(dim=1), [act]),
        ("Softmin", lambda: nn.Softmin(dim=-1), [act]),
        ("GLU", lambda: nn.GLU(), [act]),
        ("Identity", lambda: nn.Identity(), [act]),
        ("Dropout", lambda: nn.Dropout(), [(4, 6)], {"evaluate": True}),
        ("Dropout1d", lambda: nn.Dropout1d(0.4), [(3, 4, 2)], {"evaluate": True}),
        ("Dropout2d", lambda: nn.Dropout2d(0.4), [(3, 4, 2, 1)], {"evaluate": True}),
        ("Dropout3d", lambda: nn.Dropout3d(0.4), [(3, 4, 2, 1, 1)], {"evaluate": True}),
        ("ConstantPad1d", lambda: nn.ConstantPad1d((1, 2), 0.5), [(1, 2, 3)]),
        ("ConstantPad2d", lambda: nn.ConstantPad2d(1, -1.5), [(1, 2, 2, 3)]),
        ("ConstantPad3d", lambda: nn.ConstantPad3d((1, 0, 0, 1, 2, 0), 3.5), [(1, 1, 2, 2, 2)]),
        ("ZeroPad2d", lambda: nn.ZeroPad2d((1, -1, 0, 2)), [(1, 2, 3, 3)]),
        ("ReflectionPad1d", lambda: nn.ReflectionPad1d(2), [(1, 2, 4)]),
        ("ReflectionPad2d", lambda: nn.ReflectionPad2d((1, 2, 0, 1)), [(1, 2, 3, 4)]),
        ("ReflectionPad3d", lambda: nn.ReflectionPad3d(1), [(1, 1, 2, 3, 2)]),
        ("ReplicationPad1d", lambda: nn.ReplicationPad1d((2, 1)), [(1, 2, 3)]),
        ("ReplicationPad2d", lambda: nn.ReplicationPad2d(2), [(1, 1, 2, 3)]),
        ("ReplicationPad3d", lambda: nn.ReplicationPad3d(1), [(1, 1, 2, 2, 2)]),
        ("Flatten", lambda: nn.Flatten(), [(2, 3, 2, 2)]),
        ("Flatten some", lambda: nn.Flatten(0, 1), [(2, 3, 2)]),
        ("Unflatten", lambda: nn.Unflatten(1, (2, 3)), [(2, 6, 2)]),
        ("PixelShuffle", lambda: nn.PixelShuffle(2), [(1, 8, 2, 3)]),
        ("PixelUnshuffle", lambda: nn.PixelUnshuffle(2), [(1, 2, 4, 6)]),
        ("Unfold", lambda: nn.Unfold((2, 3), padding=1, stride=2), [(1, 2, 4, 5)]),
        ("Fold", lambda: nn.Fold(output_size=(4, 5), kernel_size=2), [(1, 8, 12)]),
        ("Upsample nearest", lambda: nn.Upsample(scale_factor=2), [(1, 2, 3)]),
        ("Upsample nearest 2d", lambda: nn.Upsample(size=(3, 5)), [(1, 2, 2, 2)]),
        ("Upsample nearest 3d", lambda: nn.Upsample(scale_factor=(1, 2, 3)), [(1, 1, 2, 2, 2)]),
        ("Upsample linear", lambda: nn.Upsample(scale_factor=1.5, mode="linear"), [(1, 2, 4)]),
        ("Upsample bilinear", lambda: nn.Upsample(scale_factor=1.7, mode="bilinear", align_corners=False), [(1, 2, 3, 4)]),
        ("Upsample bilinear aligned", lambda: nn.Upsample(size=5, mode="bilinear", align_corners=True), [(1, 2, 3, 4)]),
        ("Upsample bicubic", lambda: nn.Upsample(scale_factor=2, mode="bicubic"), [(1, 1, 3, 4)]),
        ("Upsample trilinear", lambda: nn.Upsample(size=(3, 4, 3), mode="trilinear"), [(1, 1, 2, 2, 2)]),
        ("LSTM", lambda: nn.LSTM(3, 4), [seq]),
        ("LSTM two layers, both ways", lambda: nn.LSTM(3, 2, num_layers=2, bidirectional=True, batch_first=True),
         [batch_first]),
        ("LSTM dropout", lambda: nn.LSTM(3, 2, num_layers=3, dropout=0.4, bias=False), [seq], {"evaluate": True}),
        ("LSTM from a state", lambda: nn.LSTM(3, 2, num_layers=2), [seq, (2, 2, 2), (2, 2, 2)],
         {"call": lambda m, x, h, c: m(x, (h, c))}),
        ("GRU", lambda: nn.GRU(3, 4, batch_first=True), [batch_first]),
        ("GRU dropout, both ways", lambda: nn.GRU(3, 2, num_layers=2, dropout=0.3, bidirectional=True), [seq],
         {"evaluate": True}),
        ("GRU from a state", lambda: nn.GRU(3, 2), [seq, (1, 2, 2)]),
        ("RNN", lambda: nn.RNN(3, 4, num_layers=2), [seq]),
        ("RNN relu", lambda: nn.RNN(3, 4, nonlinearity="relu", bidirectional=True), [seq]),
        ("LSTMCell", lambda: nn.LSTMCell(3, 2), [(2, 3), (2, 2), (2, 2)], {"call": lambda m, x, h, c: m(x, (h, c))}),
        ("GRUCell", lambda: nn.GRUCell(3, 2), [(2, 3), (2, 2)]),
        ("RNNCell", lambda: nn.RNNCell(3, 2, bias=False), [(2, 3)]),
        ("RNNCell relu", lambda: nn.RNNCell(3, 2, nonlinearity="relu"), [(2, 3), (2, 2)]),
        ("MultiheadAttention", lambda: nn.MultiheadAttention(4, 2), [(3, 2, 4), (5, 2, 4), (5, 2, 4)]),
        ("MultiheadAttention other features",
         lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=2, bias=False, batch_first=True), [(2, 3, 4), (2, 5, 3), (2, 5, 2)]),
        ("MultiheadAttention masks, dropout", lambda: nn.MultiheadAttention(4, 2, dropout=0.3), [(4, 2, 4), causal(4), padded(4, 3)],
         {"call": lambda m, x, mask, padding: m(x, x, x, attn_mask=mask, key_padding_mask=padding,
                                                average_attn_weights=False)}),
        ("MultiheadAttention added mask", lambda: nn.MultiheadAttention(4, 2), [(3, 2, 4), (4, 3, 3)],
         {"call": lambda m, x, mask: m(x, x, x, attn_mask=mask, need_weights=False)}),
        ("TransformerEncoderLayer", lambda: nn.TransformerEncoderLayer(4, 2, dim_feedforward=6), [(3, 2, 4)]),
        ("TransformerEncoderLayer norm first",
         lambda: nn.TransformerEncoderLayer(4, 2, dim_feedforward=5, dropout=0.2, activation="gelu", batch_first=True,
                                            norm_first=True, layer_norm_eps=1e-4),
         [(2, 3, 4), causal(3), padded(3, 2)],
         {"call": lambda m, x, mask, padding: m(x, src_mask=mask, src_key_padding_mask=padding)}),
        ("TransformerDecoderLayer", lambda: nn.TransformerDecoderLayer(4, 2, dim_feedforward=6), [(3, 2, 4), (5, 2, 4)]),
        ("TransformerDecoderLayer norm first",
         lambda: nn.TransformerDecoderLayer(4, 2, dim_feedforward=5, dropout=0, norm_first=True),
         [(3, 2, 4), (4, 2, 4), causal(3), padded(4, 2)],
         {"call": lambda m, x, memory, mask, padding: m(x, memory, tgt_mask=mask, memory_key_padding_mask=padding)}),
    ]


def losses():
    flat_, pair = (3, 4), (4, 3)
    ctc = [lambda: torch.randn(6, 2, 4).log_softmax(2), lambda: torch.randint(1, 4, (2, 3))]
    weight = torch.tensor([0.5, 2.0, 1.0, 1.5])
    target = {"grads": [0]}
    return [
        ("MSELoss", lambda: nn.MSELoss(), [flat_, flat_]),
        ("MSELoss none", lambda: nn.MSELoss(reduction="none"), [flat_, flat_]),
        ("L1Loss", lambda: nn.L1Loss(reduction="sum"), [flat_, flat_]),
        ("SmoothL1Loss", lambda: nn.SmoothL1Loss(), [flat_, flat_]),
        ("SmoothL1Loss beta", lambda: nn.SmoothL1Loss(beta=0.4, reduction="none"), [flat_, flat_]),
        ("HuberLoss", lambda: nn.HuberLoss(delta=0.6), [flat_, flat_]),
        ("CrossEntropyLoss", lambda: nn.CrossEntropyLoss(), [flat_, rows(4, 3)]),
        ("CrossEntropyLoss weight, ignored, smoothed",
         lambda: nn.CrossEntropyLoss(weight=weight.clone(), ignore_index=2, label_smoothing=0.2), [(2, 4, 3), rows(4, 2, 3)]),
        ("CrossEntropyLoss shares", lambda: nn.CrossEntropyLoss(reduction="sum"), [flat_, lambda: torch.rand(3, 4).softmax(1)], target),
        ("NLLLoss", lambda: nn.NLLLoss(weight=weight.clone(), ignore_index=1), [flat_, lambda: torch.tensor([0, 1, 3])]),
        ("BCELoss", lambda: nn.BCELoss(), [shares(3, 4), shares(3, 4)], target),
        ("BCELoss weight", lambda: nn.BCELoss(weight=weight.clone(), reduction="none"), [shares(3, 4), shares(3, 4)], target),
        ("BCEWithLogitsLoss", lambda: nn.BCEWithLogitsLoss(), [flat_, shares(3, 4)], target),
        ("BCEWithLogitsLoss weights",
         lambda: nn.BCEWithLogitsLoss(weight=weight.clone(), pos_weight=weight.clone() + 1), [flat_, shares(3, 4)], target),
        ("KLDivLoss", lambda: nn.KLDivLoss(reduction="batchmean"), [flat_, shares(3, 4)], target),
        ("KLDivLoss logarithms", lambda: nn.KLDivLoss(reduction="sum", log_target=True), [flat_, flat_]),
        ("CosineEmbeddingLoss", lambda: nn.CosineEmbeddingLoss(margin=0.2), [pair, pair, signs(4)], {"grads": [0, 1]}),
        ("MarginRankingLoss", lambda: nn.MarginRankingLoss(margin=0.5), [flat_, flat_, signs(3, 4)], {"grads": [0, 1]}),
        ("HingeEmbeddingLoss", lambda: nn.HingeEmbeddingLoss(), [flat_, signs(3, 4)], target),
        ("SoftMarginLoss", lambda: nn.SoftMarginLoss(), [flat_, signs(3, 4)], target),
        ("TripletMarginLoss", lambda: nn.TripletMarginLoss(), [pair, pair, pair]),
        ("TripletMarginLoss swap", lambda: nn.TripletMarginLoss(margin=2, p=1, swap=True, reduction="none"), [pair, pair, pair]),
        ("PoissonNLLLoss", lambda: nn.PoissonNLLLoss(), [flat_, positive(3, 4)], target),
        ("PoissonNLLLoss full", lambda: nn.PoissonNLLLoss(log_input=False, full=True, reduction="none"),
         [positive(3, 4), lambda: torch.rand(3, 4) * 4], target),
        ("CTCLoss", lambda: nn.CTCLoss(), ctc, {"call": lambda m, x, y: m(x, y, (6, 5), (3, 2))}),
        ("CTCLoss infinite", lambda: nn.CTCLoss(blank=0, reduction="sum", zero_infinity=True), ctc,
         {"call": lambda m, x, y: m(x, y, (2, 6), (3, 3))}),
    ]


def module_cases(table, first):
    return [module_case(first + i, name, make, inputs, **(rest[0] if rest else {}))
            for i, (name, make, inputs, *rest) in enumerate(table)]


SHAPES = [(2, 3), (4,)]
STEPS = 8


def optimizer_cases():
    """Steps on the same gradients; the second parameter has none at step 3; rates are halved after step 4."""
    torch.manual_seed(400)
    start = [torch.randn(shape) for shape in SHAPES]
    gradients = [[None if i == 1 and step == 3 else torch.randn(shape) for i, shape in enumerate(SHAPES)]
                 for step in range(STEPS)]
    o = torch.optim
    makers = [
        ("Adam", lambda p: o.Adam(p)),
        ("Adam decayed", lambda p: o.Adam(p, lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1)),
        ("Adam amsgrad", lambda p: o.Adam(p, lr=0.1, amsgrad=True)),
        ("AdamW", lambda p: o.AdamW(p, lr=0.1)),
        ("SGD", lambda p: o.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)),
        ("RMSprop", lambda p: o.RMSprop(p)),
        ("RMSprop centered", lambda p: o.RMSprop(p, lr=0.02, alpha=0.9, momentum=0.5, centered=True, weight_decay=0.1)),
        ("Adagrad", lambda p: o.Adagrad(p)),
        ("Adagrad decayed", lambda p: o.Adagrad(p, lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.2)),
        ("Adadelta", lambda p: o.Adadelta(p, lr=0.7, rho=0.8, weight_decay=0.05)),
        ("Adamax", lambda p: o.Adamax(p, lr=0.05, weight_decay=0.1)),
        # 1.13's loop over single tensors counts a momentum twice, which its list form and newer versions do not.
        ("NAdam", lambda p: o.NAdam(p, lr=0.05, weight_decay=0.1, foreach=True)),
        ("RAdam", lambda p: o.RAdam(p, lr=0.05, weight_decay=0.1)),
    ]
    cases = []
    for name, make in makers:
        parameters = [value.clone().requires_grad_() for value in start]
        optimizer = make(parameters)
        after = []
        for step, row in enumerate(gradients):
            for parameter, gradient in zip(parameters, row):
                parameter.grad = None if gradient is None else gradient.clone()
            optimizer.step()
            after.append([dump(p) for p in parameters])
            if step == 4:
                for group in optimizer.param_groups:
                    group["lr"] *= 0.5
        state = optimizer.state_dict()
        plain = {key: {name: dump(torch.as_tensor(value)) for name, value in values.items() if value is not None}
                 for key, values in state["state"].items()}
        groups = [{key: value for key, value in group.items() if key != "foreach"} for group in state["param_groups"]]
        cases.append({"name": name, "after": after, "state": plain, "groups": groups})
    return {"start": [dump(value) for value in start], "cases": cases,
            "gradients": [[None if g is None else dump(g) for g in row] for row in gradients]}


def schedule_cases():
    """The rates, and the momenta where they change, over 24 steps of two groups that start at 0.5 and 0.1."""
    s = torch.optim.lr_scheduler

    def sequence(o):
        return s.SequentialLR(o, [s.LinearLR(o, 0.2, total_iters=4), s.CosineAnnealingLR(o, 10), s.ConstantLR(o, 0.25, 3)],
                              [4, 15])

    def chain(o):
        return s.ChainedScheduler([s.ConstantLR(o, 0.1, 4), s.ExponentialLR(o, 0.9)])

    losses = [5, 4, 4, 4.1, 4.2, 4, 3.9999, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2]
    makers = [
        ("StepLR", lambda o: s.StepLR(o, 5)),
        ("MultiStepLR", lambda o: s.MultiStepLR(o, [3, 8, 8, 15], gamma=0.5)),
        ("ExponentialLR", lambda o: s.ExponentialLR(o, 0.9)),
        ("ConstantLR", lambda o: s.ConstantLR(o)),
        ("LinearLR", lambda o: s.LinearLR(o)),
        ("LinearLR down", lambda o: s.LinearLR(o, start_factor=1, end_factor=0.1, total_iters=12)),
        ("PolynomialLR", lambda o: s.PolynomialLR(o, total_iters=10, power=2)),
        ("CosineAnnealingLR", lambda o: s.CosineAnnealingLR(o, 9, eta_min=0.01)),
        ("CosineAnnealingWarmRestarts", lambda o: s.CosineAnnealingWarmRestarts(o, 5)),
        ("CosineAnnealingWarmRestarts longer", lambda o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=2, eta_min=0.02)),
        ("LambdaLR", lambda o: s.LambdaLR(o, lambda t: 1 / (1 + t))),
        ("OneCycleLR", lambda o: s.OneCycleLR(o, max_lr=1.5, total_steps=25)),
        ("OneCycleLR three phases", lambda o: s.OneCycleLR(o, max_lr=[1, 2], epochs=5, steps_per_epoch=5, three_phase=True,
                                                           anneal_strategy="linear", pct_start=0.2)),
        ("SequentialLR", sequence),
        ("ChainedScheduler", chain),
        ("ReduceLROnPlateau", lambda o: s.ReduceLROnPlateau(o, patience=2, cooldown=1)),
        ("ReduceLROnPlateau max", lambda o: s.ReduceLROnPlateau(o, mode="max", factor=0.5, patience=1, threshold=0.1,
                                                                threshold_mode="abs", min_lr=0.05)),
    ]
    cases = []
    for name, make in makers:
        groups = [{"params": [torch.zeros(1)], "lr": 0.5}, {"params": [torch.zeros(1)], "lr": 0.1}]
        optimizer = torch.optim.SGD(groups, lr=1, momentum=0.9)
        scheduler = make(optimizer)
        rates, momenta = [], []
        for step in range(25):
            rates.append([group["lr"] for group in optimizer.param_groups])
            momenta.append(optimizer.param_groups[0]["momentum"])
            if step < 24:
                optimizer.step()
                scheduler.step(*([losses[step]] if name.startswith("Reduce") else []))
        cases.append({"name": name, "rates": rates, "momenta": momenta})
    return {"losses": losses, "cases": cases}


def loader_orders():
    data = TensorDataset(torch.arange(10))
    orders = []
    for seed, drop_last in [(3, False), (4, True)]:
        generator = torch.Generator()
        generator.manual_seed(seed)
        loader = DataLoader(data, batch_size=3, shuffle=True, drop_last=drop_last, generator=generator)
        orders.append({"seed": seed, "dropLast": drop_last,
                       "epochs": [[batch[0].tolist() for batch in loader] for _ in range(2)]})
    return orders


def init_cases():
    cases = {}

    def filled(name, seed, shape, fill):
        torch.manual_seed(seed)
        cases[name] = {"seed": seed, "value": dump(fill(torch.empty(shape)))}

    filled("xavierNormal_", 320, (4, 2, 3), lambda t: nn.init.xavier_normal_(t, gain=2))
    filled("xavierUniform_", 321, (4, 5), nn.init.xavier_uniform_)
    filled("orthogonal_ wide", 322, (3, 2, 2), lambda t: nn.init.orthogonal_(t, gain=1.5))
    filled("orthogonal_ tall", 323, (5, 3), nn.init.orthogonal_)
    return cases


if __name__ == "__main__":
    torch.set_num_threads(1)
    content = {"torch": torch.__version__, "layers": module_cases(layers(), 0), "losses": module_cases(losses(), 200),
               "optimizers": optimizer_cases(), "schedules": schedule_cases(), "loader": loader_orders(), "init": init_cases()}
    (HERE / "library.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")
