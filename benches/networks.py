"""Networks for images as torchvision writes them, of random weights: what models.py measures."""

from __future__ import annotations

import numpy as np
from quantray import nn
from quantray.nn import functional as F


class BasicBlock(nn.Module):
    """Two convolutions, and what went in."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None if stride == 1 and inputs == width else _downsample(inputs, width, stride)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return F.relu(out)


class Bottleneck(nn.Module):
    """Three convolutions, the outer ones of single pixels, and what went in."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, width * 4, 1, bias=False), nn.BatchNorm2d(width * 4)
        self.downsample = None
        if stride != 1 or inputs != width * 4:
            self.downsample = _downsample(inputs, width * 4, stride)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return F.relu(out)


def _downsample(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """He et al., Deep Residual Learning for Image Recognition (2015)."""

    def __init__(self, block, layers, classes: int = 1000) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for i, count in enumerate(layers):
            width, blocks = 64 << i, []
            for j in range(count):
                blocks.append(block(inputs, width, 2 if i and not j else 1))
                inputs = width * block.expansion
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = self.avgpool(x)
        return self.fc(x.reshape(x.shape[0], -1))


def resnet18() -> nn.Module:
    """18 layers."""
    return ResNet(BasicBlock, (2, 2, 2, 2))


def resnet50() -> nn.Module:
    """50 layers."""
    return ResNet(Bottleneck, (3, 4, 6, 3))


def _conv_bn(inputs, outputs, kernel, stride, groups=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Wider, depthwise, narrower."""

    def __init__(self, inputs, outputs, stride, ratio) -> None:
        super().__init__()
        hidden = inputs * ratio
        layers = [_conv_bn(inputs, hidden, 1, 1)] if ratio != 1 else []
        layers += [
            _conv_bn(hidden, hidden, 3, stride, hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.conv = nn.Sequential(*layers)
        self.has_residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.has_residual else self.conv(x)


class MobileNetV2(nn.Module):
    """Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks (2018)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        features, inputs = [_conv_bn(3, 32, 3, 2)], 32
        for ratio, outputs, count, stride in (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
            (6, 320, 1, 1),
        ):  # fmt: skip
            for i in range(count):
                features.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, ratio))
                inputs = outputs
        features.append(_conv_bn(inputs, 1280, 1, 1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(axis=(2, 3)))


class DigitsCNN(nn.Module):
    """A small CNN for 8x8 digits, by functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.fc = nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(x.reshape(len(x), -1))


def trained_statistics(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model in evaluation mode, its normalizations with statistics that keep values in range."""
    rng = np.random.default_rng(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            n = module.num_features
            module.running_mean = rng.normal(0, 0.1, n).astype(np.float32)
            module.running_var = rng.uniform(0.5, 1.5, n).astype(np.float32)
            module.weight = rng.uniform(0.5, 1.0, n).astype(np.float32)
            module.bias = rng.normal(0, 0.1, n).astype(np.float32)
    return model.eval()
