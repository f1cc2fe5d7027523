"""Qwen3 in PyTorch: the same network that `models/src/qwen` runs."""

from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class Shape:
    vocabulary: int = 8_000
    hidden: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    head: int = 64
    inner: int = 512
    theta: float = 10_000.0
    epsilon: float = 1e-6
    context: int = 1_024

    def asdict(self):
        return asdict(self)


class Norm(nn.Module):
    def __init__(self, width, epsilon):
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(torch.ones(width)), epsilon

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon) * self.weight


def rotate(x, cos, sin):
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class Layer(nn.Module):
    def __init__(self, shape, dropout):
        super().__init__()
        self.shape, self.dropout = shape, dropout
        linear = lambda a, b: nn.Linear(a, b, bias=False)
        self.q = linear(shape.hidden, shape.heads * shape.head)
        self.k = linear(shape.hidden, shape.kv_heads * shape.head)
        self.v = linear(shape.hidden, shape.kv_heads * shape.head)
        self.o = linear(shape.heads * shape.head, shape.hidden)
        self.gate, self.up = linear(shape.hidden, shape.inner), linear(shape.hidden, shape.inner)
        self.down = linear(shape.inner, shape.hidden)
        self.attention_norm, self.inner_norm = (Norm(shape.hidden, shape.epsilon) for _ in range(2))
        self.q_norm, self.k_norm = (Norm(shape.head, shape.epsilon) for _ in range(2))

    def forward(self, x, cos, sin, mask):
        n, length, _ = x.shape
        y = self.attention_norm(x)
        split = lambda y: y.view(n, length, -1, self.shape.head)
        q = rotate(self.q_norm(split(self.q(y))), cos, sin).transpose(1, 2)
        k = rotate(self.k_norm(split(self.k(y))), cos, sin).transpose(1, 2)
        v = split(self.v(y)).transpose(1, 2)
        times = self.shape.heads // self.shape.kv_heads
        k, v = (each.to(v.dtype).repeat_interleave(times, 1) for each in (k, v))
        y = F.scaled_dot_product_attention(q.to(v.dtype), k, v, attn_mask=mask, is_causal=mask is None)
        y = self.o(y.transpose(1, 2).reshape(n, length, -1))
        x = x + F.dropout(y, self.dropout, self.training)
        y = self.inner_norm(x)
        y = self.down(F.silu(self.gate(y)) * self.up(y))
        return x + F.dropout(y, self.dropout, self.training)


class Qwen3(nn.Module):
    def __init__(self, shape, dropout=0.0):
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape, dropout) for _ in range(shape.layers))
        self.norm = Norm(shape.hidden, shape.epsilon)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.04)
        for layer in self.layers:
            for last in (layer.o, layer.down):
                nn.init.normal_(last.weight, std=0.04 / (2 * shape.layers) ** 0.5)

    def forward(self, ids, places=None, mask=None):
        """Hidden states after the last norm; logits are these times the embedding.

        `places` and `mask` where tokens do not simply follow each other.
        """
        half = torch.arange(0, self.shape.head, 2, device=ids.device) / self.shape.head
        places = torch.arange(ids.shape[1], device=ids.device)[None] if places is None else places
        angles = places[:, :, None, None] * self.shape.theta**-half
        cos, sin = angles.cos(), angles.sin()
        x = self.embedding(ids)
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        return self.norm(x)

    def logits(self, hidden):
        return F.linear(hidden, self.embedding.weight)
