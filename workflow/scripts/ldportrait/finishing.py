"""What is made of a photo or a frame and its alpha: the alpha alone, the cut-out, or another background behind it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from ldportrait.photos import Photo

OUTPUTS = ("rgba", "alpha", "composite")


def check(output: str, background: str | None) -> None:
    """Raise ValueError for another output than OUTPUTS, and for a background that would not be seen."""
    if output not in OUTPUTS:
        raise ValueError(f"--output is one of {', '.join(OUTPUTS)}, not {output}.")
    if background is not None and output != "composite":
        raise ValueError("--background is for --output composite.")


def finisher(output: str, background: str | None, limit: int) -> "Callable[[Photo, np.ndarray], np.ndarray]":
    """Return what makes the output of a photo, or frame, and its alpha; the background is white if it is not given.

    ValueError for a background that cannot be read, or a picture of more than `limit` pixels.
    """
    import numpy as np
    from PIL import ImageColor

    from ldportrait import images, matting, photos, tiling
    from ldportrait.benchmarks import bank

    background = background or "white"
    if output == "alpha":
        return lambda photo, alpha: alpha
    if output == "rgba":
        return lambda photo, alpha: np.dstack([matting.foreground(photo.rgb, alpha), alpha])
    picture = colour = None
    if background != "blur":
        if Path(background).is_file():
            picture = photos.read(background, limit)
        else:
            try:
                colour = np.array(ImageColor.getrgb(background)[:3], np.uint8)
            except ValueError as error:
                raise ValueError(f"--background {background} is no colour, no picture's file, and not blur.") from error

    def behind(photo: "Photo", alpha: "np.ndarray") -> "np.ndarray":
        if picture is not None:
            return photos.in_colours_of(bank.cover(picture.rgb, alpha.shape), picture.profile, photo)
        if colour is not None:
            return np.broadcast_to(photos.in_colours_of(colour[None, None], None, photo), photo.rgb.shape)
        return matting.blurred(photo.rgb, alpha)

    def composite(photo: "Photo", alpha: "np.ndarray") -> "np.ndarray":
        result, ground = matting.foreground(photo.rgb, alpha), behind(photo, alpha)
        for window, _ in tiling.windows(alpha.shape, matting.SIDE, 0, 0):  # in parts, to spare memory
            result[window] = images.composite(np.dstack([result[window], alpha[window]]), ground[window])
        return result

    return composite
