"""The metrics written down plainly, from their definitions, in double precision; and the variants of benchmarks' code.

Slow and without any of the library's code or libraries of choice (the flow of MESSDdt is cv2's for both). Alphas are
floats in [0, 1].
"""

import cv2
import numpy as np
from scipy import ndimage


def sad(pred, true, mask):
    return np.abs(pred - true)[mask].sum() / 1000


def mse(pred, true, mask):
    return ((pred - true) ** 2)[mask].mean()


def mad(pred, true, mask):
    return np.abs(pred - true)[mask].mean()


def kernel():
    """The 9 x 9 derivative of a Gaussian of sigma 1.4 along the columns, entry by entry, of Euclidean norm 1."""
    sigma, half = 1.4, 4
    table = np.zeros((9, 9))
    for i in range(9):
        for j in range(9):
            y, x = i - half, j - half
            gaussian = np.exp(-(y**2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
            derivative = -x * np.exp(-(x**2) / (2 * sigma**2)) / (sigma**3 * np.sqrt(2 * np.pi))
            table[i, j] = gaussian * derivative
    return table / np.sqrt((table**2).sum())


def amplitude(alpha):
    along = ndimage.convolve(alpha, kernel(), mode="nearest")
    down = ndimage.convolve(alpha, kernel().T, mode="nearest")
    return np.sqrt(along**2 + down**2)


def grad(pred, true, mask):
    return ((amplitude(pred) - amplitude(true)) ** 2)[mask].sum() / 1000


def largest_component(foreground):
    labels, count = ndimage.label(foreground, structure=[[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    if count == 0:
        return np.zeros(foreground.shape, bool)
    sizes = [(labels == label).sum() for label in range(1, count + 1)]
    return labels == 1 + int(np.argmax(sizes))


def largest_label(foreground):
    """What GCA's and MGM's code takes: the most frequent label, that of the background included."""
    labels, _ = ndimage.label(foreground, structure=[[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    return labels == np.argmax(np.bincount(labels.ravel()))


def connectivity(pred, true, largest=largest_component, skip_empty=False):
    level = np.ones(pred.shape)
    found = np.zeros(pred.shape, bool)
    for i in range(1, 11):
        # alphas of 8 bit meet a threshold exactly: a / 255 >= i / 10, give or take the last digits of a double
        shared = (pred >= i / 10 - 1e-9) & (true >= i / 10 - 1e-9)
        if skip_empty and not shared.any():
            continue
        omega = largest(shared)
        level[~found & ~omega] = (i - 1) / 10
        found |= ~omega
    phi = [1 - (alpha - level) * (alpha - level >= 0.15) for alpha in (pred, true)]
    return np.abs(phi[0] - phi[1])


def conn(pred, true, mask):
    return connectivity(pred, true)[mask].sum() / 1000


def stretch(alpha):
    """What MATLAB's mat2gray and cv2's NORM_MINMAX do."""
    span = alpha.max() - alpha.min()
    return (alpha - alpha.min()) / span if span else alpha


def grad_stretched(pred, true, mask):
    return grad(stretch(pred), stretch(true), mask)


def conn_by_label(pred, true, mask):
    return connectivity(pred, true, largest=largest_label)[mask].sum() / 1000


def grad_p3m(pred, true, mask):
    """By scipy's own derivative of a Gaussian: 13 taps, not normalised, mirrored borders, and a sum / 10."""
    amplitudes = [
        np.hypot(*(ndimage.gaussian_filter(alpha, 1.4, order=order) for order in ((1, 0), (0, 1))))
        for alpha in (pred, true)
    ]
    return ((amplitudes[0] - amplitudes[1]) ** 2)[mask].sum() / 10


def conn_p3m(pred, true, mask):
    return connectivity(pred, true, skip_empty=True)[mask].sum() / 1000


def dtssd_frames(pred, true):
    values = []
    for t in range(1, len(true)):
        change = (pred[t] - pred[t - 1]) - (true[t] - true[t - 1])
        values.append(np.sqrt((change**2).mean()))
    return values


def messddt_frames(pred, true):
    values = []
    _, height, width = true.shape
    for t in range(len(true) - 1):
        frames = [np.round(255 * true[i]).astype(np.uint8) for i in (t, t + 1)]
        flow = cv2.calcOpticalFlowFarneback(*frames, None, 0.5, 5, 10, 2, 7, 1.5, cv2.OPTFLOW_FARNEBACK_GAUSSIAN)
        total = 0
        for y in range(height):
            for x in range(width):
                there_x = min(max(x + int(np.rint(flow[y, x, 0])), 0), width - 1)
                there_y = min(max(y + int(np.rint(flow[y, x, 1])), 0), height - 1)
                here = (pred[t, y, x] - true[t, y, x]) ** 2
                there = (pred[t + 1, there_y, there_x] - true[t + 1, there_y, there_x]) ** 2
                total += abs(here - there)
        values.append(total / (height * width))
    return values


def foreground(pred, true, alpha):
    """Mean squared and mean absolute differences of colours (H, W, 3) where alpha is above 0."""
    differences = [
        pred[y, x, c] - true[y, x, c] for y, x in np.ndindex(*alpha.shape) for c in range(3) if alpha[y, x] > 0
    ]
    return np.mean(np.square(differences)), np.mean(np.abs(differences))
