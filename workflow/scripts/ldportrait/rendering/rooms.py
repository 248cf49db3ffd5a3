"""Rooms and streets behind a portrait, rendered with Cycles (needs bpy).

The camera stands at the origin at eye height and looks along +Y, focused on where a sitter would be; everything else
is out of focus by the aperture's own geometry. A layout function builds one kind of place from a Generator; its
options come from the entry in the bank's configuration.
"""

from collections.abc import Mapping

import bpy
import numpy as np

from ldportrait.rendering.interiors import ROOMS
from ldportrait.rendering.props import look
from ldportrait.rendering.streets import STREETS
from ldportrait.rendering.surfaces import linear


def _sky(sun: Mapping) -> None:
    """Nishita sky and a sun lamp (the lamp samples better than a disc in the sky). Angles in degrees."""
    world = bpy.data.worlds.new("sky")
    bpy.context.scene.world = world
    world.use_nodes = True
    tree = world.node_tree
    background = tree.nodes["Background"]
    elevation, rotation = np.deg2rad(sun.get("elevation", 35.0)), np.deg2rad(sun.get("rotation", 120.0))
    background.inputs["Strength"].default_value = sun.get("sky", 0.25)
    if sun.get("sky_colour"):
        background.inputs["Color"].default_value = (*linear(sun["sky_colour"]), 1)
    else:
        sky = tree.nodes.new("ShaderNodeTexSky")
        sky.sky_type, sky.sun_disc, sky.sun_elevation, sky.sun_rotation = "NISHITA", False, elevation, rotation
        sky.dust_density = sun.get("haze", 1.0)
        tree.links.new(sky.outputs[0], background.inputs["Color"])
    if sun.get("energy", 3.0) > 0:
        light = bpy.data.lights.new("sun", "SUN")
        light.energy, light.angle = sun.get("energy", 3.0), np.deg2rad(sun.get("size", 1.0))
        light.color = linear(sun.get("colour", "#fff1de"))
        lamp = bpy.data.objects.new("sun", light)
        towards = -np.array(
            [np.sin(rotation) * np.cos(elevation), np.cos(rotation) * np.cos(elevation), np.sin(elevation)]
        )
        lamp.rotation_euler = look(towards)
        bpy.context.collection.objects.link(lamp)


def _camera(entry: Mapping) -> None:
    camera = bpy.data.cameras.new("camera")
    camera.lens, camera.sensor_width = entry.get("lens", 60.0), 36.0
    camera.dof.use_dof = True
    camera.dof.focus_distance, camera.dof.aperture_fstop = entry.get("focus", 1.6), entry.get("f_stop", 2.0)
    camera.dof.aperture_blades = entry.get("blades", 0)
    stand = bpy.data.objects.new("camera", camera)
    stand.location = (entry.get("x", 0.0), 0.0, entry.get("height", 1.5))
    stand.rotation_euler = np.deg2rad((90 + entry.get("pitch", 0.0), 0.0, entry.get("yaw", 0.0)))
    bpy.context.collection.objects.link(stand)
    bpy.context.scene.camera = stand


def render_place(entry: Mapping, size: int, samples: int, path: str, threads: int = 1) -> None:
    """Build the entry's layout and write a PNG of size x size to `path`.

    The entry gives kind, layout, seed and, if wished, lens (mm), f_stop, focus (m), height (m), x (m), yaw and pitch
    (degrees), exposure (stops), and sun: elevation, rotation, energy, size, colour, sky, sky_colour, haze.
    Raises ValueError for a layout that does not exist.
    """
    layouts = ROOMS if entry["family"] == "room" else STREETS
    if entry.get("layout") not in layouts:
        raise ValueError(f"unknown {entry['family']} layout {entry.get('layout')!r}; there are {', '.join(layouts)}")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    layouts[entry["layout"]](np.random.default_rng(entry["seed"]))
    _sky(entry.get("sun", {}))
    _camera(entry)
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device, cycles.samples, cycles.seed = "CPU", samples, entry["seed"] % 2**31
    cycles.use_adaptive_sampling, cycles.adaptive_threshold, cycles.adaptive_min_samples = True, 0.05, 8
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces, cycles.transmission_bounces = 4, 2, 2, 1
    cycles.sample_clamp_indirect, cycles.caustics_reflective = 8.0, False
    scene.render.threads_mode, scene.render.threads = "FIXED", threads
    scene.view_settings.view_transform, scene.view_settings.look = "AgX", "AgX - Medium High Contrast"
    scene.view_settings.exposure = entry.get("exposure", 0.0)
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "PNG", "RGB"
    scene.render.filepath = path
    bpy.ops.render.render(write_still=True)
