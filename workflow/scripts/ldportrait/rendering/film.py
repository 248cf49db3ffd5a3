"""From the Cycles scene to 8-bit straight RGBA: denoised colour, clean alpha, AgX tone mapping. Needs bpy.

Alpha is true pixel coverage (Cycles' transparent film). Its pass traces camera rays alone and gives every surface one
flat material, about 17 times faster a sample than shading it, so that many samples are cheap; colour needs few, since
the denoiser smooths it. Both use one fixed sampling seed, so that equal scenes give equal bits on one machine.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy
import cv2
import numpy as np

from ldportrait import images


def configure(size: tuple[int, int], threads: int = 1) -> None:
    """Cycles on the CPU at `size` = (width, height) pixels."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.render.threads_mode, scene.render.threads = "FIXED", threads
    scene.render.dither_intensity = 0.0
    scene.view_settings.view_transform = "AgX"
    scene.cycles.device = "CPU"
    scene.cycles.seed = 1
    scene.cycles.use_adaptive_sampling = False
    scene.render.use_persistent_data = True  # the alpha pass finds the strands' tree built
    scene.cycles.max_bounces = 3
    scene.cycles.diffuse_bounces, scene.cycles.glossy_bounces, scene.cycles.transmission_bounces = 1, 2, 2
    scene.cycles.caustics_reflective = scene.cycles.caustics_refractive = False
    scene.cycles.transparent_max_bounces = 24
    scene.cycles_curves.shape = "RIBBONS"


def render_alpha(samples: int) -> np.ndarray:
    """Coverage `(H, W)` float32 in [0, 1], exact to the number of samples a pixel.

    Surfaces cut out by a texture (brows, lashes; objects with the property "card") lie on the face and are left out.
    """
    cycles, layer = bpy.context.scene.cycles, bpy.context.view_layer
    flat = bpy.data.materials.new("flat")
    flat.use_nodes = True
    flat.cycles.emission_sampling = "NONE"  # no tree of a hundred thousand lamps
    emission = flat.node_tree.nodes.new("ShaderNodeEmission")
    flat.node_tree.links.new(emission.outputs[0], flat.node_tree.nodes["Material Output"].inputs["Surface"])
    hidden = [thing for thing in bpy.data.objects if thing.type == "LIGHT" or "card" in thing]
    changes = [(cycles, "max_bounces", 0), (layer, "material_override", flat)]
    with _changed(changes + [(thing, "hide_render", True) for thing in hidden]):
        alpha = _render(samples, denoise=False, transparent=True)[..., 3]
    bpy.data.materials.remove(flat)
    return np.clip(alpha, 0, 1)


def render_opaque(samples: int) -> np.ndarray:
    """What the camera sees, background included: `(H, W, 3)` uint8 sRGB."""
    return _to_bytes(tone_map(_render(samples, denoise=True, transparent=False)[..., :3]))


def render_rgba(samples: int, alpha_samples: int) -> np.ndarray:
    """Straight sRGB colour and linear alpha `(H, W, 4)` uint8; colour under alpha 0 is a smooth continuation."""
    picture = _render(samples, denoise=True, transparent=True)
    alpha = render_alpha(alpha_samples)
    colour = images.unpremultiply(picture[..., :3], alpha)
    return np.dstack([_to_bytes(tone_map(colour)), _to_bytes(alpha)])


def tone_map(linear: np.ndarray) -> np.ndarray:
    """Scene-referred linear `(H, W, 3)` to display sRGB in [0, 1] by Blender's own AgX view."""
    height, width, _ = linear.shape
    image = bpy.data.images.new("linear", width, height, float_buffer=True)
    image.colorspace_settings.name = "Linear Rec.709"
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = linear[::-1]
    image.pixels.foreach_set(pixels.ravel())
    settings = bpy.context.scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGB", "16"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "display.png"
        image.save_render(str(path), scene=bpy.context.scene)
        display = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    bpy.data.images.remove(image)
    return display[..., ::-1].astype(np.float32) / 65535


def _render(samples: int, denoise: bool, transparent: bool) -> np.ndarray:
    """Premultiplied linear RGBA `(H, W, 4)` float32."""
    scene, cycles = bpy.context.scene, bpy.context.scene.cycles
    cycles.samples, cycles.use_denoising = samples, denoise
    if denoise:
        cycles.denoiser, cycles.denoising_prefilter = "OPENIMAGEDENOISE", "FAST"
    scene.render.film_transparent = transparent
    settings = scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = "OPEN_EXR", "RGBA", "32"
    with tempfile.TemporaryDirectory() as folder:
        scene.render.filepath = str(Path(folder) / "linear.exr")
        bpy.ops.render.render(write_still=True)
        image = bpy.data.images.load(scene.render.filepath)
        width, height = image.size
        pixels = np.empty(width * height * 4, np.float32)
        image.pixels.foreach_get(pixels)
        bpy.data.images.remove(image)
    return pixels.reshape(height, width, 4)[::-1]


@contextmanager
def _changed(changes: list[tuple]) -> Iterator[None]:
    """Set attributes for a while: `(thing, attribute, value)`."""
    before = [(thing, name, getattr(thing, name)) for thing, name, _ in changes]
    for thing, name, value in changes:
        setattr(thing, name, value)
    try:
        yield
    finally:
        for thing, name, value in before:
            setattr(thing, name, value)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
