"""Regions of a mask, and what hangs together with seeds: connected components and reconstruction."""

from dataclasses import dataclass

import cc3d
import numpy as np
import SimpleITK


@dataclass(frozen=True)
class Regions:
    """The 4- or 8-connected regions of a mask, as runs of pixels of one label: there are far fewer runs than pixels."""

    shape: tuple[int, int]
    count: int  # the labels are 1 to count, and 0 outside the mask
    starts: np.ndarray  # of each run, in the flattened mask
    labels: np.ndarray  # of each run

    @classmethod
    def of(cls, mask: np.ndarray, connectivity: int) -> "Regions":
        """The regions of an (H, W) bool mask; `connectivity` is 4 or 8."""
        # Not as bool or binary_image: that path of cc3d (4.1.1) splits some 8-connected regions in two.
        labels, count = cc3d.connected_components(mask.view(np.uint8), connectivity=connectivity, return_N=True)
        flat = labels.ravel()
        starts = np.flatnonzero(flat[1:] != flat[:-1])
        starts = np.concatenate([[0], starts + 1])
        return cls(mask.shape, count, starts, flat[starts])

    def lengths(self) -> np.ndarray:
        """Pixels per run."""
        return np.diff(self.starts, append=self.shape[0] * self.shape[1])

    def areas(self) -> np.ndarray:
        """Pixels per label; 0 for what is outside the mask."""
        areas = np.bincount(self.labels, self.lengths(), self.count + 1)
        areas[0] = 0
        return areas

    def holding(self, seeds: np.ndarray) -> np.ndarray:
        """Whether a label's region holds a pixel of `seeds`, (count + 1,) bool."""
        held = np.zeros(self.count + 1, bool)
        held[self.labels[np.logical_or.reduceat(seeds.ravel(), self.starts)]] = True
        held[0] = False
        return held

    def mask(self, kept: np.ndarray) -> np.ndarray:
        """The pixels (H, W) of the labels that are kept."""
        return np.repeat(kept[self.labels], self.lengths()).reshape(self.shape)


def largest(mask: np.ndarray) -> np.ndarray:
    """Keep the largest 8-connected region of a mask; of equally large ones all, so that no corner is preferred."""
    regions = Regions.of(mask, 8)
    areas = regions.areas()
    return regions.mask((areas == areas.max()) & (areas > 0))


def joined(mask: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Keep the 8-connected regions of a mask that hold a seed: binary reconstruction."""
    regions = Regions.of(mask, 8)
    return regions.mask(regions.holding(seeds))


def connected_level(alpha: np.ndarray, core: np.ndarray) -> np.ndarray:
    """Per pixel the highest level at which it is 8-connected with the core: grey reconstruction by dilation."""
    marker = SimpleITK.GetImageFromArray(np.where(core, alpha, alpha.dtype.type(0)))
    level = SimpleITK.ReconstructionByDilation(marker, SimpleITK.GetImageFromArray(alpha), fullyConnected=True)
    return SimpleITK.GetArrayFromImage(level)
