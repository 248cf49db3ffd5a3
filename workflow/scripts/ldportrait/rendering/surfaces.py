"""Materials of the rendered rooms and streets, their palettes and patterns (needs bpy).

A pattern is laid out in the Object texture coordinate. props.py gives every mesh its vertices in world space on an
object at the origin, so that a brick has the same size in metres on whatever it is applied to.
"""

from collections.abc import Sequence

import bpy
import numpy as np

Vector = Sequence[float]

SPINES = ("#7a2e2a", "#28405c", "#d8cdb4", "#3f5a45", "#8a6b3c", "#20242c", "#b9a58c", "#6b3b5a", "#c46a3a", "#e6e0d2")
PRINTS = ("#c8553d", "#f2c14e", "#2d6a8e", "#588b8b", "#20262e", "#e8ddcb", "#8d5b4c", "#a3b18a")
WALLS = ("#e4ddd0", "#c9d0cf", "#d9c3ae", "#8fa39a", "#5d7286", "#b7876b", "#eeeae2", "#6f5f57")
WOODS = ("#8a5f3c", "#5c3d28", "#b08d62", "#3d2b22", "#9b7a55")
GREENS = ("#4d6b2f", "#5f7d36", "#3d5a2b", "#7a8f45")
CLOTHS = ("#5b6e7a", "#8c4a3c", "#6d7b58", "#c2b39a", "#2f3e52", "#a8763e", "#7b6a7d")


def linear(colour: str) -> tuple[float, float, float]:
    """'#rrggbb' in sRGB to the linear light that shaders take (IEC 61966-2-1)."""
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return tuple(np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).tolist())


def pick(rng: np.random.Generator, palette: tuple[str, ...]) -> str:
    """One colour of a palette."""
    return palette[int(rng.integers(len(palette)))]


def wood(rng: np.random.Generator, plane: str = "xz") -> bpy.types.Material:
    """Wood of a random tone; its grain runs along the first axis of `plane`."""
    return material(pick(rng, WOODS), pattern="grain", plane=plane, contrast=0.4, roughness=0.45)


def _surface(tree: bpy.types.NodeTree, plane: str, stretch: Vector) -> bpy.types.NodeSocket:
    """World position with the axes of `plane` first (patterns lie in the first two), scaled by `stretch`."""
    nodes, links = tree.nodes, tree.links
    split, join = nodes.new("ShaderNodeSeparateXYZ"), nodes.new("ShaderNodeCombineXYZ")
    links.new(nodes.new("ShaderNodeTexCoord").outputs["Object"], split.inputs[0])
    for i, axis in enumerate(plane + "".join(a for a in "xyz" if a not in plane)):
        scaled = nodes.new("ShaderNodeMath")
        scaled.operation = "MULTIPLY"
        scaled.inputs[1].default_value = stretch[i]
        links.new(split.outputs[axis.upper()], scaled.inputs[0])
        links.new(scaled.outputs[0], join.inputs[i])
    return join.outputs[0]


def _noise(tree: bpy.types.NodeTree, vector: bpy.types.NodeSocket, scale: float) -> bpy.types.NodeSocket:
    node = tree.nodes.new("ShaderNodeTexNoise")
    node.inputs["Scale"].default_value, node.inputs["Detail"].default_value = scale, 3.0
    node.inputs["Roughness"].default_value = 0.6
    tree.links.new(vector, node.inputs["Vector"])
    return node.outputs["Fac"]


def _multiply(tree: bpy.types.NodeTree, first: bpy.types.NodeSocket, second: bpy.types.NodeSocket):
    node = tree.nodes.new("ShaderNodeMix")
    node.data_type, node.blend_type = "RGBA", "MULTIPLY"
    node.inputs[0].default_value = 1.0
    tree.links.new(first, node.inputs[6])
    tree.links.new(second, node.inputs[7])
    return node.outputs[2]


def material(
    colour: str = "#ffffff",
    *,
    pattern: str = "mottled",
    plane: str = "xy",
    scale: float = 1.0,
    second: str = "#b8b2a8",
    contrast: float = 0.25,
    bump: float = 0.0,
    roughness: float = 0.6,
    metallic: float = 0.0,
    tinted: bool = False,
    brick: tuple[float, float, float] = (0.21, 0.065, 0.012),
) -> bpy.types.Material:
    """A Principled surface with a pattern in world space.

    pattern: "mottled" (noise), "grain" (noise drawn out along the first axis of `plane`) or "bricks" (bricks, tiles or
    planks of `brick` = width, height, joint in metres, joints in the colour `second`). `tinted` multiplies by the
    mesh's own colour attribute. Raises ValueError for another pattern.
    """
    if pattern not in ("mottled", "grain", "bricks"):
        raise ValueError(f"unknown pattern {pattern!r}")
    made = bpy.data.materials.new(pattern)
    made.use_nodes = True
    tree = made.node_tree
    nodes, links, shader = tree.nodes, tree.links, tree.nodes["Principled BSDF"]
    stretch = (0.08, 1.0, 1.0) if pattern == "grain" else (1.0, 1.0, 1.0)
    vector = _surface(tree, plane, stretch)
    height = _noise(tree, vector, scale * (26.0 if pattern == "grain" else 5.0))
    ramp = nodes.new("ShaderNodeValToRGB")
    for element, position, gain in zip(ramp.color_ramp.elements, (0.3, 0.7), (1 - contrast, 1 + contrast), strict=True):
        element.position = position
        element.color = (gain, gain, gain, 1)
    links.new(height, ramp.inputs[0])
    if pattern == "bricks":
        wall = nodes.new("ShaderNodeTexBrick")
        base = np.array(linear(colour))
        wall.inputs["Color1"].default_value = (*np.clip(base * 1.25, 0, 1), 1)
        wall.inputs["Color2"].default_value = (*(base * 0.72), 1)
        wall.inputs["Mortar"].default_value = (*linear(second), 1)
        wall.inputs["Scale"].default_value = 1.0
        wall.inputs["Brick Width"].default_value, wall.inputs["Row Height"].default_value = brick[:2]
        wall.inputs["Mortar Size"].default_value, wall.inputs["Mortar Smooth"].default_value = brick[2], 0.3
        links.new(vector, wall.inputs["Vector"])
        result = _multiply(tree, wall.outputs["Color"], ramp.outputs[0])
        depth = nodes.new("ShaderNodeMath")
        depth.operation = "SUBTRACT"
        links.new(height, depth.inputs[0])
        links.new(wall.outputs["Fac"], depth.inputs[1])
        height = depth.outputs[0]
    else:
        flat = nodes.new("ShaderNodeRGB")
        flat.outputs[0].default_value = (*linear(colour), 1)
        result = _multiply(tree, flat.outputs[0], ramp.outputs[0])
    if tinted:
        tint = nodes.new("ShaderNodeAttribute")
        tint.attribute_name = "tint"
        result = _multiply(tree, result, tint.outputs["Color"])
    links.new(result, shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value, shader.inputs["Metallic"].default_value = roughness, metallic
    if bump:
        relief = nodes.new("ShaderNodeBump")
        relief.inputs["Strength"].default_value, relief.inputs["Distance"].default_value = bump, 0.02
        links.new(height, relief.inputs["Height"])
        links.new(relief.outputs[0], shader.inputs["Normal"])
    return made


def glow(colour: str, strength: float, tinted: bool = False) -> bpy.types.Material:
    """A surface that shines: a bulb, a lit window, a screen."""
    made = bpy.data.materials.new("glow")
    made.use_nodes = True
    shader = made.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (0, 0, 0, 1)
    shader.inputs["Emission Color"].default_value = (*linear(colour), 1)
    shader.inputs["Emission Strength"].default_value = strength
    if tinted:
        tint = made.node_tree.nodes.new("ShaderNodeAttribute")
        tint.attribute_name = "tint"
        made.node_tree.links.new(tint.outputs["Color"], shader.inputs["Emission Color"])
    return made


def glass(colour: str = "#20282c", roughness: float = 0.04) -> bpy.types.Material:
    """A pane seen from outside by day: dark, and it mirrors the sky. Not transmissive, which keeps the noise low."""
    made = bpy.data.materials.new("glass")
    made.use_nodes = True
    shader = made.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*linear(colour), 1)
    shader.inputs["Roughness"].default_value, shader.inputs["Specular IOR Level"].default_value = roughness, 1.0
    return made


def foliage(translucency: float = 0.4) -> bpy.types.Material:
    """Leaves in their own tint that let light through."""
    made = material(tinted=True, roughness=0.5, contrast=0.2, bump=0.0)
    tree = made.node_tree
    through, blend = tree.nodes.new("ShaderNodeBsdfTranslucent"), tree.nodes.new("ShaderNodeMixShader")
    tree.links.new(tree.nodes["Principled BSDF"].inputs["Base Color"].links[0].from_socket, through.inputs["Color"])
    blend.inputs[0].default_value = translucency
    tree.links.new(tree.nodes["Principled BSDF"].outputs[0], blend.inputs[1])
    tree.links.new(through.outputs[0], blend.inputs[2])
    tree.links.new(blend.outputs[0], tree.nodes["Material Output"].inputs["Surface"])
    return made
