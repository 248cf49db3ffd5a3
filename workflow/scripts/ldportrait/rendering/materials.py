"""Blender shader graphs: skin, eyes, hair cards, strands, cloth, green wall.

Lengths are metres. Colours are linear scene-referred RGB unless a docstring says sRGB. Needs bpy.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import bpy

RGB = Sequence[float]


class Graph:
    """A material's node tree with the least syntax: `add` makes a node, sets its inputs and links sockets to them."""

    def __init__(self, name: str):
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.surface = self.tree.nodes["Principled BSDF"]

    def add(self, kind: str, inputs: Mapping | None = None, **attributes):
        """A node of type `ShaderNode{kind}`; `inputs` maps socket name or index to a value or to another socket."""
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for key, value in attributes.items():
            setattr(node, key, value)
        self.set(node, inputs or {})
        return node

    def set(self, node, inputs: Mapping) -> None:
        for key, value in inputs.items():
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, node.inputs[key])
            else:
                node.inputs[key].default_value = value

    def image(self, path: Path, data: bool = False, vector=None):
        node = self.add("TexImage", image=bpy.data.images.load(str(path), check_existing=True), interpolation="Cubic")
        if data:
            node.image.colorspace_settings.name = "Non-Color"
        if vector is not None:
            self.tree.links.new(vector, node.inputs["Vector"])
        return node

    def blend(self, kind: str, factor, a, b):
        """The colour socket of `a` blended with `b`; `factor` is a number or a socket."""
        node = self.add("Mix", data_type="RGBA", blend_type=kind)
        self.set(node, {0: factor, 6: _rgba(a), 7: _rgba(b)})
        return node.outputs[2]

    def noise(self, scale: float, detail: float = 4.0, vector=None):
        inputs = {"Scale": scale, "Detail": detail} | ({} if vector is None else {"Vector": vector})
        return self.add("TexNoise", inputs).outputs["Fac"]

    def remap(self, value, low: float, high: float, to_low: float, to_high: float):
        names = ("From Min", "From Max", "To Min", "To Max")
        node = self.add("MapRange", {"Value": value, **dict(zip(names, (low, high, to_low, to_high), strict=True))})
        return node.outputs["Result"]

    def math(self, operation: str, a, b):
        return self.add("Math", {0: a, 1: b}, operation=operation).outputs[0]

    def bump(self, height, strength: float, distance: float, normal=None):
        inputs = {"Height": height, "Strength": strength, "Distance": distance}
        return self.add("Bump", inputs | ({} if normal is None else {"Normal": normal})).outputs[0]

    @property
    def object_space(self):
        return self.add("TexCoord").outputs["Object"]


def _rgba(value):
    return value if isinstance(value, bpy.types.NodeSocket) else (*value, 1.0)


def skin(maps: Sequence[Path], mix: float, tint: RGB, freckles: float, scalp: RGB | None, age: float):
    """Skin of two blended diffuse maps, with blotches, freckles and pores that the 512-pixel maps lack.

    `scalp` darkens the skin below the hair (vertex attribute "scalp", 0 to 1) to that colour, so that no bare scalp
    shows between strands; None leaves it. `age` in years deepens the relief.
    """
    graph = Graph("skin")
    where = graph.object_space
    colour = graph.image(maps[0]).outputs["Color"]
    if len(maps) > 1 and mix > 0:
        colour = graph.blend("MIX", mix, colour, graph.image(maps[1]).outputs["Color"])
    colour = graph.blend("MULTIPLY", 1.0, colour, tint)
    # blood and pigment vary over centimetres and over millimetres
    blotches = graph.remap(graph.noise(28, 3, where), 0.35, 0.65, 0.0, 0.30)
    colour = graph.blend("MULTIPLY", blotches, colour, (0.93, 0.76, 0.72))
    mottle = graph.remap(graph.noise(330, 3, where), 0.3, 0.7, 0.0, 0.26)
    colour = graph.blend("MULTIPLY", mottle, colour, (0.80, 0.66, 0.60))
    if freckles > 0:
        spots = graph.add("TexVoronoi", {"Scale": 260.0, "Vector": where}).outputs["Distance"]
        patchy = graph.remap(graph.noise(60, 2, where), 0.42, 0.6, 0.0, freckles)
        spots = graph.math("MULTIPLY", graph.remap(spots, 0.12, 0.26, 0.75, 0.0), patchy)
        colour = graph.blend("MULTIPLY", spots, colour, (0.55, 0.33, 0.22))
    if scalp is not None:
        covered = graph.add("Attribute", attribute_name="scalp").outputs["Fac"]
        speckle = graph.math("MULTIPLY", covered, graph.remap(graph.noise(900, 2, where), 0.3, 0.6, 0.75, 1.0))
        colour = graph.blend("MIX", speckle, colour, scalp)

    # one bump of fine pores and wider creases; a second node would triple the cost
    creases = 1.0 + 2.5 * max(0.0, (age - 30) / 50)
    relief = graph.math("MULTIPLY", graph.noise(110, 4, where), creases)
    pores = graph.add("TexVoronoi", {"Scale": 1000.0, "Vector": where}).outputs["Distance"]
    normal = graph.bump(graph.math("ADD", pores, relief), 0.35, 0.0008)
    graph.set(
        graph.surface,
        {
            "Base Color": colour,
            "Normal": normal,
            "Roughness": graph.remap(graph.noise(45, 2, where), 0.3, 0.7, 0.40, 0.62),
            "Specular IOR Level": 0.42,
            "Subsurface Weight": 0.20,
            "Subsurface Radius": (1.0, 0.35, 0.18),
            "Subsurface Scale": 0.004,
        },
    )
    return graph.material


def textured(path: Path, tint: RGB = (1, 1, 1), roughness: float = 0.5, specular: float = 0.3, use_alpha: bool = True):
    """A diffuse map, tinted; its alpha cuts the surface out where `use_alpha` (brows, lashes)."""
    graph = Graph(Path(path).stem)
    texture = graph.image(path)
    colour = graph.blend("MULTIPLY", 1.0, texture.outputs["Color"], tint)
    graph.set(graph.surface, {"Base Color": colour, "Roughness": roughness, "Specular IOR Level": specular})
    if use_alpha:
        graph.set(graph.surface, {"Alpha": texture.outputs["Alpha"]})
    return graph.material


def eye(path: Path):
    """An eye ball with its iris map under a wet, sharp cornea."""
    graph = Graph("eye")
    texture = graph.image(path)
    white = graph.blend("MULTIPLY", 1.0, texture.outputs["Color"], (0.86, 0.82, 0.80))
    wet = {"Roughness": 0.22, "Coat Weight": 1.0, "Coat Roughness": 0.02, "Coat IOR": 1.38}
    graph.set(graph.surface, {"Base Color": white, "Alpha": texture.outputs["Alpha"], **wet})
    return graph.material


# Weave or knit scale (1/m), bump strength and depth (m), roughness, sheen, strength of folds: enough to tell cloths
# apart at 1 mm a pixel.
CLOTHS = {
    "cotton": (700.0, 0.35, 0.0006, 0.80, 0.15, 0.45),
    "jersey": (900.0, 0.25, 0.0005, 0.85, 0.20, 0.35),
    "wool": (260.0, 0.70, 0.0016, 0.95, 0.45, 0.28),
    "denim": (560.0, 0.55, 0.0008, 0.85, 0.05, 0.60),
    "satin": (500.0, 0.10, 0.0004, 0.52, 0.10, 0.35),
    "felt": (500.0, 0.30, 0.0008, 0.95, 0.50, 0.15),
}


def cloth(kind: str, colour: RGB, texture: Path | None = None):
    """A plain woven or knitted cloth with folds' shading from noise; a texture gives its luminance, not its colour.

    Raises ValueError for an unknown kind.
    """
    if kind not in CLOTHS:
        raise ValueError(f"unknown cloth '{kind}': use one of {', '.join(CLOTHS)}")
    scale, strength, depth, roughness, sheen, folding = CLOTHS[kind]
    graph = Graph(f"cloth {kind}")
    where = graph.object_space
    base = graph.blend(
        "MULTIPLY", graph.remap(graph.noise(14, 3, where), 0.3, 0.7, 0.0, 0.5), colour, (0.78, 0.78, 0.80)
    )
    if texture is not None:
        grey = graph.add("RGBToBW", {0: graph.image(texture).outputs["Color"]}).outputs[0]
        seams = graph.add("CombineColor", dict.fromkeys(range(3), graph.remap(grey, 0.02, 0.35, 0.55, 1.0))).outputs[0]
        base = graph.blend("MULTIPLY", 1.0, base, seams)
    threads = graph.add("TexVoronoi", {"Scale": scale, "Vector": where}).outputs["Distance"]
    normal = graph.bump(graph.math("ADD", threads, graph.noise(scale / 3, 3, where)), strength, depth)
    # folds hang: longer along Z than across
    hanging = graph.add("Mapping", {"Vector": where, "Scale": (1.0, 1.0, 0.45)}).outputs["Vector"]
    folds = graph.add("TexNoise", {"Scale": 13.0, "Detail": 3.0, "Distortion": 1.6, "Vector": hanging}).outputs["Fac"]
    normal = graph.bump(folds, folding, 0.03, normal)
    look = {"Base Color": base, "Normal": normal, "Roughness": roughness, "Specular IOR Level": 0.25}
    graph.set(graph.surface, look | {"Sheen Weight": sheen, "Sheen Roughness": 0.5})
    return graph.material


def plastic(colour: RGB, roughness: float = 0.18, metallic: float = 0.0):
    """Glossy frames of glasses."""
    graph = Graph("frame")
    look = {"Base Color": _rgba(colour), "Roughness": roughness, "Metallic": metallic}
    graph.set(graph.surface, look)
    return graph.material


def strands(colour: Mapping):
    """Blender's Principled Hair (Chiang 2016) from a hair colour: `melanin` and `redness`, or a linear `dye`."""
    graph = Graph("strands")
    graph.tree.nodes.remove(graph.surface)
    node = graph.add("BsdfHairPrincipled", {"Roughness": 0.30, "Radial Roughness": 0.40, "Random Roughness": 0.25})
    if "dye" in colour:
        node.parametrization = "COLOR"
        graph.set(node, {"Color": _rgba(colour["dye"])})
    else:
        node.parametrization = "MELANIN"
        look = {"Melanin": colour["melanin"], "Melanin Redness": colour["redness"]}
        graph.set(node, look | {"Tint": _rgba(colour.get("tint", (1, 1, 1))), "Random Color": 0.35})
    graph.tree.links.new(node.outputs[0], graph.tree.nodes["Material Output"].inputs["Surface"])
    return graph.material


def green_wall():
    """A painted chroma-key wall, unevenly lit and unevenly green."""
    graph = Graph("green wall")
    uneven = graph.remap(graph.noise(1.5, 3, graph.object_space), 0.3, 0.7, 0.0, 1.0)
    green = graph.blend("MIX", uneven, (0.015, 0.36, 0.05), (0.03, 0.50, 0.08))
    graph.set(graph.surface, {"Base Color": green, "Roughness": 0.9})
    return graph.material
