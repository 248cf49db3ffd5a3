"""The image metrics written down plainly, from the definitions of Rhemann et al. (CVPR 2009), in double precision.

Slow and without any of the library's code or libraries of choice. Alphas are floats in [0, 1].
"""

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


def connectivity(pred, true):
    level = np.ones(pred.shape)
    found = np.zeros(pred.shape, bool)
    for i in range(1, 11):
        # alphas of 8 bit meet a threshold exactly: a / 255 >= i / 10, give or take the last digits of a double
        omega = largest_component((pred >= i / 10 - 1e-9) & (true >= i / 10 - 1e-9))
        level[~found & ~omega] = (i - 1) / 10
        found |= ~omega
    phi = [1 - (alpha - level) * (alpha - level >= 0.15) for alpha in (pred, true)]
    return np.abs(phi[0] - phi[1])


def conn(pred, true, mask):
    return connectivity(pred, true)[mask].sum() / 1000
