"""Networks as people write them, small."""

import numpy as np
from quantray import nn
from quantray.nn import functional as F


class PlainCNN(nn.Module):
    """Convolutions, functions and a reshape."""

    shape = (3, 12, 12)

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, stride=2)
        self.fc1, self.fc2 = nn.Linear(12 * 2 * 2, 16), nn.Linear(16, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.relu(self.conv2(x))
        x = x.reshape(x.shape[0], -1)
        return self.fc2(np.maximum(self.fc1(x), 0))


class Block(nn.Module):
    """A residual block with `+=`."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.down = None
        if stride != 1 or inputs != outputs:
            self.down = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        identity = x
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.down is not None:
            identity = self.down(x)
        out += identity
        return F.relu(out)


class ResNet(nn.Module):
    """A stem, three blocks, a mean over places."""

    shape = (3, 12, 12)

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.blocks = nn.Sequential(Block(8, 8), Block(8, 12, 2), Block(12, 12))
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.fc(x.mean(axis=(2, 3)))


class Inverted(nn.Module):
    """MobileNet's block: wide inside, depthwise, narrow at its ends."""

    def __init__(self, channels, wide):
        super().__init__()
        self.expand = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()
        )
        self.project = nn.Sequential(nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        return x + self.project(self.depthwise(self.expand(x)))


class MobileNet(nn.Module):
    """Inverted residuals, hardswish, a classifier behind a flatten."""

    shape = (3, 10, 10)

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6), nn.Hardswish()
        )
        self.blocks = nn.Sequential(Inverted(6, 18), Inverted(6, 18))
        self.pool, self.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 5)

    def forward(self, x):
        x = self.pool(self.blocks(self.stem(x)))
        return self.classifier(nn.functional.flatten(x, 1))


class DenseNet(nn.Module):
    """Each layer takes all that came before it."""

    shape = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.layers = nn.ModuleList([nn.Conv2d(6 + 4 * i, 4, 3, padding=1) for i in range(3)])
        self.norm, self.fc = nn.BatchNorm2d(18), nn.Linear(18, 5)

    def forward(self, x):
        features = [self.stem(x)]
        for layer in self.layers:
            features.append(layer(F.relu(np.concatenate(features, axis=1))))
        x = F.relu(self.norm(np.concatenate(features, 1)))
        return self.fc(F.adaptive_avg_pool2d(x, 1).reshape(len(x), -1))


class SqueezeExcite(nn.Module):
    """Channels are weighed by what they all hold."""

    shape = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 5, 1)
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)

    def forward(self, x):
        x = F.silu(self.conv(x))
        scale = x.mean(axis=(2, 3), keepdims=True)
        scale = F.sigmoid(self.excite(F.relu(self.squeeze(scale))))
        return self.last(x * scale).mean(axis=(2, 3))


class UNet(nn.Module):
    """Down, up, and across."""

    shape = (2, 8, 8)

    def __init__(self):
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 10, 3, padding=1)
        self.up = nn.ConvTranspose2d(10, 6, 2, stride=2)
        self.merge, self.out = nn.Conv2d(18, 6, 3, padding=1), nn.Conv2d(6, 2, 1)
        self.pool, self.upsample = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)

    def forward(self, x):
        a = F.relu(self.down1(x))
        b = F.relu(self.down2(self.pool(a)))
        both = np.concatenate(
            [a, self.up(b), F.conv2d(self.upsample(b), np.ones((6, 10, 1, 1), np.float32) / 10)], 1
        )
        return self.out(F.relu(self.merge(both)))


class Mixer(nn.Module):
    """Mixes over places, then over channels."""

    shape = (6, 8)

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.places1, self.places2 = nn.Linear(6, 12), nn.Linear(12, 6)
        self.channels1, self.channels2 = nn.Linear(8, 16), nn.Linear(16, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        h = self.norm1(x).swapaxes(1, 2)
        x = x + self.places2(F.gelu(self.places1(h))).swapaxes(1, 2)
        x = x + self.channels2(F.gelu(self.channels1(self.norm2(x))))
        return self.head(x.mean(axis=1))


class Attention(nn.Module):
    """Heads, a mask of the past, softmax by formula."""

    shape = (6, 16)

    def __init__(self, width=16, heads=4):
        super().__init__()
        self.heads, self.qkv = heads, nn.Linear(width, 3 * width)
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x):
        n, length, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(width // self.heads)
        scores = np.where(np.tri(length, dtype=bool), scores, -1e9).astype(np.float32)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return x + self.out((weights @ v).swapaxes(1, 2).reshape(n, length, width))


class Encoder(nn.Module):
    """The layer of `nn`, and classes of the first token."""

    shape = (6, 16)

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.layer(x)[:, 0])


class Recurrent(nn.Module):
    """An LSTM, and classes of its last step."""

    shape = (7, 6)

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 12, batch_first=True), nn.Linear(12, 5)

    def forward(self, x):
        output, _ = self.lstm(x)
        return self.head(output[:, -1])


class Scaled(nn.Linear):
    """A Linear whose forward is its own."""

    def forward(self, input):
        return super().forward(input) * 0.25 + 1


class Subclass(nn.Module):
    """A layer that is more than its class says."""

    shape = (8,)

    def __init__(self):
        super().__init__()
        self.a, self.b = Scaled(8, 16), nn.Linear(16, 5)

    def forward(self, x):
        return self.b(F.relu(self.a(x)))


class LowRank(nn.Module):
    """A Linear and what was learned beside it."""

    def __init__(self, inputs, outputs, rank=2):
        super().__init__()
        self.base = nn.Linear(inputs, outputs)
        self.down, self.up = nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs, bias=False)
        self.scaling = 0.5

    def forward(self, x):
        return self.base(x) + self.up(self.down(x)) * self.scaling


class LoRA(nn.Module):
    """Two of these."""

    shape = (8,)

    def __init__(self):
        super().__init__()
        self.a, self.b = LowRank(8, 16), LowRank(16, 5)

    def forward(self, x):
        return self.b(np.tanh(self.a(x)))


class MishOf(nn.Module):
    """An activation by its formula."""

    def forward(self, x):
        return x * np.tanh(np.log1p(np.exp(x)))


class Mish(nn.Module):
    """A formula between layers."""

    shape = (8,)

    def __init__(self):
        super().__init__()
        self.a, self.mish, self.b = nn.Linear(8, 16), MishOf(), nn.Linear(16, 5)

    def forward(self, x):
        return self.b(self.mish(self.a(x)))


NETWORKS = (
    PlainCNN, ResNet, MobileNet, DenseNet, SqueezeExcite, UNet, Mixer, Attention, Encoder, Recurrent,
    Subclass, LoRA, Mish,
)  # fmt: skip
