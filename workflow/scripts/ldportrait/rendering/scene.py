"""The Cycles scene of one portrait: a person built from a spec (see `casting`), camera, light. Needs bpy.

Space: metres, Z up; the camera looks along +Y, so a person who faces it faces -Y and positive yaw turns the face to the
picture's right.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector

from ldportrait.rendering import hair, materials, people, wardrobe
from ldportrait.rendering.scalp import Collider

SPANS = {"close-up": 0.40, "head and shoulders": 0.56, "upper body": 0.86}  # height of the view at the face, m
UNDER_CLOTHES = {"nipple-point-incr": -1.0, "nipple-size-incr": -1.0, "breast-point-incr": -0.5}  # cloth hides these
STRAND_RADIUS = 0.000145  # m; some 25 thousand thick strands stand for 100 thousand fine ones

# Each light: world (HDRI of the bpy wheel, strength, turn in degrees) and area lamps
# (azimuth from the camera to the right, elevation, both degrees; watts; size m; linear RGB).
WHITE, WARM, AMBER, COOL, MAGENTA = (1, 1, 1), (1, 0.82, 0.62), (1, 0.6, 0.3), (0.72, 0.85, 1), (1, 0.35, 0.75)
LIGHTS = {
    "softbox": ("studio", 0.55, 0, [(-40, 30, 26, 0.9, WHITE), (50, 10, 9, 1.2, WHITE), (150, 35, 14, 0.4, WHITE)]),
    "window light": (
        "interior",
        0.45,
        60,
        [(70, 15, 40, 1.0, COOL), (-40, 10, 5, 1.0, WARM), (-150, 30, 8, 0.5, WARM)],
    ),
    "golden hour": ("sunset", 0.9, 200, [(145, 14, 40, 0.5, AMBER), (-30, 20, 22, 1.0, WARM)]),
    "overcast": ("forest", 1.5, 90, [(0, 60, 18, 2.0, COOL)]),
    "rim light": (
        "studio",
        0.3,
        180,
        [(135, 20, 34, 0.4, WHITE), (-135, 20, 34, 0.4, WHITE), (-25, 25, 18, 0.8, WHITE)],
    ),
    "beauty dish": ("studio", 0.5, 30, [(0, 42, 26, 0.5, WHITE), (0, -30, 8, 0.9, WHITE), (180, 50, 10, 0.5, WHITE)]),
    "city night": ("night", 1.6, 0, [(-65, 15, 18, 0.5, MAGENTA), (70, 20, 18, 0.5, COOL), (10, 30, 14, 0.8, WARM)]),
    "hard sun": ("courtyard", 0.9, 120, [(45, 45, 46, 0.12, (1, 0.93, 0.82)), (-40, 10, 5, 1.2, COOL)]),
    "morning haze": ("sunrise", 1.1, 150, [(-140, 25, 26, 0.9, WARM), (25, 25, 18, 1.0, COOL)]),
}


@dataclass(frozen=True)
class Person:
    """What `build_person` made: the posed body, strands in the world `(S, K, 3)` and Blender's objects, by name."""

    body: people.Body
    strands: dict[str, np.ndarray]
    objects: dict[str, bpy.types.Object]


def reset() -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)


def add_mesh(name, vertices, quads, material, uv=None, uv_quads=None, subdivide=0, weights=None) -> bpy.types.Object:
    """A smooth mesh object. Quads with a repeated corner are triangles; `weights (V,)` become attribute "scalp"."""
    mesh = bpy.data.meshes.new(name)
    corners = [_corners(quad) for quad in quads.tolist()]
    mesh.from_pydata(
        vertices.tolist(), [], [[quad[c] for c in kept] for quad, kept in zip(quads, corners, strict=True)]
    )
    if uv is not None:
        loops = np.array([uv[quad[c]] for quad, kept in zip(uv_quads, corners, strict=True) for c in kept], np.float32)
        mesh.uv_layers.new(name="uv").data.foreach_set("uv", loops.ravel())
    if weights is not None:
        mesh.attributes.new("scalp", "FLOAT", "POINT").data.foreach_set("value", weights.astype(np.float32))
    mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
    mesh.materials.append(material)
    mesh.update()
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.collection.objects.link(thing)
    if subdivide:
        modifier = thing.modifiers.new("smooth", "SUBSURF")
        modifier.levels = modifier.render_levels = subdivide
    return thing


def _corners(quad: list[int]) -> list[int]:
    """Positions of a quad's distinct corners, in order."""
    return [i for i, vertex in enumerate(quad) if vertex not in quad[:i]]


def add_strands(name, strands, material, radius=STRAND_RADIUS) -> bpy.types.Object:
    """Hair curves `(S, K, 3)` that taper to their tips."""
    curves = bpy.data.hair_curves.new(name)
    count, points, _ = strands.shape
    curves.add_curves([points] * count)
    curves.attributes["position"].data.foreach_set("vector", strands.astype(np.float32).ravel())
    taper = np.interp(np.linspace(0, 1, points), [0, 0.7, 1], [1, 0.85, 0.25]) * radius
    thickness = curves.attributes.get("radius") or curves.attributes.new("radius", "FLOAT", "POINT")
    thickness.data.foreach_set("value", np.tile(taper, count).astype(np.float32))
    curves.materials.append(material)
    thing = bpy.data.objects.new(name, curves)
    bpy.context.collection.objects.link(thing)
    return thing


def build_body(spec: Mapping, face: Mapping | None = None, arms: Callable | None = None) -> people.Body:
    """The posed body of a spec; half of the yaw turns the body, the rest the neck and head.

    For motion, face units `face` act over the expression, and `arms(joints)` gives rotations instead of the pose's.
    """
    phenotype = {
        "gender": float(spec["gender"] == "woman"),
        "age": people.age_phenotype(spec["age"]),
        **{name: spec["body"]["ancestry"].get(name, 0.0) for name in ("african", "asian", "caucasian")},
        **spec["body"]["build"],
    }
    shape = people.random_face_shape(np.random.default_rng(spec["body"]["face"])) | UNDER_CLOTHES
    still = people.build_body(phenotype, shape, people.EXPRESSIONS[spec["expression"]] | (face or {}))
    joints = dict(zip(still.bone_names, still.bone_heads, strict=True))
    turn = 0.5 * spec["yaw"]
    head = people.head_pose(spec["yaw"] - turn, spec["pitch"], spec["roll"])
    arm_pose = arms(joints) if arms else people.pose_for(spec["pose"], joints)
    return people.pose_body(still, people.merge_poses({"root": people.rotation("z", turn)}, arm_pose, head))


def build_person(spec: Mapping, assets: Path, body: people.Body) -> Person:
    """Put the person of a spec into the empty scene: body, eyes, brows, clothes, accessory, hair and beard."""
    uv, groups = people.base_mesh()
    quads, uv_quads = groups["body"]
    scalp = hair.scalp_weights(*head_landmarks())
    colour = hair.COLOURS[spec["hair"]["colour"]]

    pieces, hidden = wardrobe.dress(spec["garment"], body, assets)
    pieces += wardrobe.accessorise(spec["accessory"], body, assets)
    bald = spec["hair"]["style"] == "bald"
    skin = spec["skin"]
    skin_material = materials.skin(
        [assets / "skins" / name for name in skin["maps"]],
        skin["mix"],
        skin["tint"],
        skin["freckles"],
        None if bald else colour["root_rgb"],
        spec["age"],
    )
    hairy, shown = _per_vertex(scalp, quads, len(body.posed)), ~hidden
    skin_mesh = add_mesh("body", body.posed, quads[shown], skin_material, uv, uv_quads[shown], 2, hairy)
    objects = {"body": skin_mesh}
    for name, kind in face_proxies(spec).items():
        proxy = load_face_proxy(assets, kind, name)
        posed = people.fit_proxy(proxy, body)
        objects[name] = add_mesh(
            name, posed, proxy.quads, face_material(kind, proxy, spec), proxy.uv, proxy.uv_quads, 1
        )
        if kind in ("eyebrows", "eyelashes"):
            objects[name]["card"] = True
    for piece in pieces:
        material = piece_material(piece, spec)
        objects[piece.name] = add_mesh(
            piece.name, piece.vertices, piece.quads, material, piece.uv, piece.uv_quads, piece.subdivide
        )
    strands = {name: group for name, group in grow_strands(spec, body, pieces).items() if len(group)}
    for name, group in strands.items():
        objects[name] = add_strands(name, group, materials.strands(colour), STRAND_RADIUS * np.sqrt(strand_step(spec)))
    return Person(body, strands, objects)


def face_proxies(spec: Mapping) -> dict[str, str]:
    """Proxy name to its folder: eyes, brows, lashes, teeth and tongue."""
    lashes = "eyelashes02" if spec["gender"] == "woman" else "eyelashes03"
    return {
        "HighPolyEyes": "eyes",
        spec["brows"]: "eyebrows",
        lashes: "eyelashes",
        "Teeth_Base": "teeth",
        "tongue01": "tongue",
    }


@functools.cache
def load_face_proxy(assets: Path, kind: str, name: str) -> people.Proxy:
    return people.load_proxy(assets / "proxies" / kind / name / f"{name}.json")


def face_material(kind: str, proxy: people.Proxy, spec: Mapping) -> bpy.types.Material:
    """The material of an eye, brow, lash, tooth or tongue."""
    folder = proxy.textures[0].parent
    if kind == "eyes":
        return materials.eye(folder / f"{spec['eyes']}_eye.png")
    if kind == "eyebrows":
        return materials.textured(proxy.textures[0], brow_tint(hair.COLOURS[spec["hair"]["colour"]]))
    if kind == "eyelashes":
        return materials.textured(proxy.textures[0], (0.1, 0.08, 0.07))
    return materials.textured(proxy.textures[0], roughness=0.15 if kind == "teeth" else 0.5, use_alpha=False)


def brow_tint(colour: Mapping) -> np.ndarray:
    """Linear RGB by which a brow's grey map is multiplied: a little darker than the hair."""
    return np.clip(2.0 * np.asarray(colour["root_rgb"]), 0, 1)


def piece_material(piece: wardrobe.Piece, spec: Mapping) -> bpy.types.Material:
    """The Blender material of a garment's or accessory's piece."""
    colours = wardrobe.GARMENT_COLOURS
    colour = piece.colour if piece.colour is not None else colours[spec["garment_colour"]]
    if piece.name.startswith("accessory") and piece.material in materials.CLOTHS:
        colour = list(colours.values())[spec["seed"] % len(colours)]  # hats in all colours too
    if piece.material in ("plastic", "metal"):
        return materials.plastic(colour, metallic=float(piece.material == "metal"))
    return materials.cloth(piece.material, colour, piece.texture)


def grow_strands(spec: Mapping, body: people.Body, pieces: list) -> dict[str, np.ndarray]:
    """Hair and beard `(S, K, 3)` in the world, grown in the head's frame against the posed body and its clothes."""
    head = body.bone_transform("head")
    turn, shift = head[:3, :3], head[:3, 3]
    quads = people.base_mesh()[1]["body"][0]
    skin = (body.posed - shift) @ turn
    worn = [((piece.vertices - shift) @ turn, people.triangles(piece.quads)) for piece in pieces]
    vertices, faces = merge_meshes([(skin, people.triangles(quads)), *worn])
    obstacle = vertices, faces[vertices[faces[:, 0], 2] > body.bone_head("head")[2] - 0.45]
    rng = np.random.default_rng(spec["body"]["face"])
    groups = {}
    for name, styles, choice in (
        ("hair", hair.STYLES, spec["hair"]["style"]),
        ("beard", hair.BEARDS, spec["facial_hair"]),
    ):
        style = styles.get(choice)
        if style is None:
            continue
        weights = (
            hair.scalp_weights(*head_landmarks()) if name == "hair" else hair.beard_weights(*head_landmarks(), choice)
        )
        local = hair.grow(skin, people.triangles(quads), np.tile(weights, 2), obstacle, style, rng, turn.T @ (0, 0, -1))
        if name == "hair":
            local = local[~wardrobe.hidden_roots(spec["accessory"], local[:, 0], body)]
        groups[name] = local[:: strand_step(spec)] @ turn.T + shift
    return groups


def strand_step(spec: Mapping) -> int:
    """A small picture shows every third strand, thicker: its pixels could not tell more apart."""
    return 3 if spec["size"] <= 320 else 1


def merge_meshes(meshes: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices `(V, 3)` and triangles `(T, 3)` of several meshes as one."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in meshes)])
    triangles = [tris + start for (_, tris), start in zip(meshes, starts, strict=False)]
    return np.concatenate([vertices for vertices, _ in meshes]), np.concatenate(triangles)


def add_camera(spec: Mapping, person: Person) -> None:
    """An 85 mm camera at eye height that keeps hair, hat and raised arms within the frame's top and sides."""
    span = SPANS[spec["framing"]]
    face = face_centre(person.body)
    posed = person.body.posed[np.unique(people.base_mesh()[1]["body"][0])]  # less MakeHuman's helper geometry
    meshes = [posed[posed[:, 2] > face[2] - 0.05]]
    meshes += [_world_vertices(thing) for name, thing in person.objects.items() if name.startswith("accessory")]
    if spec["framing"] == "upper body":
        worn = [_world_vertices(thing) for name, thing in person.objects.items() if name.startswith("garment")]
        meshes += [cloud[cloud[:, 2] > face[2] + 0.12 - span] for cloud in [posed, *worn]]
    # of the hair, a few fly-aways may leave the frame
    hairs = [np.percentile(strands.reshape(-1, 3), (0.05, 99.95), axis=0) for strands in person.strands.values()]
    corners = np.concatenate([*meshes, *hairs])
    (left, _, _), (right, _, top) = corners.min(axis=0), corners.max(axis=0)
    span = max(span, 1.10 * (right - left))
    middle = np.clip(face[0], right - 0.46 * span, left + 0.46 * span)
    camera = bpy.data.cameras.new("camera")
    camera.lens, camera.sensor_width = 85.0, 36.0
    thing = bpy.data.objects.new("camera", camera)
    bpy.context.collection.objects.link(thing)
    thing.location = (middle, face[1] - span * 85 / 36, top + 0.05 * span - span / 2)
    thing.rotation_euler = (np.pi / 2, 0, 0)
    bpy.context.scene.camera = thing


def add_light(name: str, target: np.ndarray) -> None:
    """One of LIGHTS around the face at `target` (3,). Raises ValueError for an unknown name."""
    if name not in LIGHTS:
        raise ValueError(f"unknown light '{name}': use one of {', '.join(LIGHTS)}")
    sky, strength, turn, lamps = LIGHTS[name]
    world = bpy.data.worlds.new("world")
    bpy.context.scene.world = world
    world.use_nodes = True
    world.cycles.sampling_method, world.cycles.sample_map_resolution = "MANUAL", 256  # enough for softboxes and suns
    nodes, links = world.node_tree.nodes, world.node_tree.links
    picture = nodes.new("ShaderNodeTexEnvironment")
    folder = Path(bpy.utils.system_resource("DATAFILES")) / "studiolights" / "world"
    picture.image = bpy.data.images.load(str(folder / f"{sky}.exr"))
    mapping = nodes.new("ShaderNodeMapping")
    mapping.inputs["Rotation"].default_value[2] = np.deg2rad(turn)
    links.new(nodes.new("ShaderNodeTexCoord").outputs["Generated"], mapping.inputs[0])
    links.new(mapping.outputs[0], picture.inputs[0])
    links.new(picture.outputs[0], nodes["Background"].inputs["Color"])
    nodes["Background"].inputs["Strength"].default_value = strength
    for azimuth, elevation, watts, size, colour in lamps:
        add_lamp(target, np.deg2rad(azimuth), np.deg2rad(elevation), watts, size, colour)


def add_lamp(target, azimuth, elevation, watts, size, colour=WHITE, distance=1.6) -> None:
    """A square area lamp that looks at `target`; angles in radians from the camera, positive to the right and up."""
    flat = np.cos(elevation)
    towards = np.array([np.sin(azimuth) * flat, -np.cos(azimuth) * flat, np.sin(elevation)])
    lamp = bpy.data.lights.new("lamp", "AREA")
    lamp.energy, lamp.size, lamp.color = watts, size, colour
    thing = bpy.data.objects.new("lamp", lamp)
    bpy.context.collection.objects.link(thing)
    thing.location = np.asarray(target) + distance * towards
    thing.rotation_euler = Vector(towards).to_track_quat("Z", "Y").to_euler()


def add_green_wall(target: np.ndarray) -> bpy.types.Object:
    """A chroma-key wall 1.2 m behind `target` with a lamp of its own; it throws green light on the person."""
    x, y, z = np.asarray(target)
    corners = np.array(
        [(x - 3, y + 1.2, z - 3), (x + 3, y + 1.2, z - 3), (x + 3, y + 1.2, z + 2), (x - 3, y + 1.2, z + 2)]
    )
    wall = add_mesh("wall", corners, np.array([[0, 1, 2, 3]]), materials.green_wall())
    lamp = bpy.data.lights.new("wall lamp", "AREA")
    lamp.energy, lamp.size = 60.0, 1.5
    thing = bpy.data.objects.new("wall lamp", lamp)
    bpy.context.collection.objects.link(thing)
    thing.location = (x, y + 0.3, z + 1.2)
    thing.rotation_euler = (-0.9, 0, 0)
    return wall


def stage(spec: Mapping, assets: Path, body: people.Body | None = None) -> Person:
    """The whole scene of a spec, ready for `film`; `body` replaces the spec's own pose."""
    reset()
    person = build_person(spec, assets, build_body(spec) if body is None else body)
    add_camera(spec, person)
    add_light(spec["light"], face_centre(person.body))
    return person


def move_meshes(person: Person, spec: Mapping, body: people.Body, assets: Path) -> None:
    """Bring skin, face parts and clothes of a staged person to another pose of the same body."""
    moved = {"body": body.posed}
    for name, kind in face_proxies(spec).items():
        moved[name] = people.fit_proxy(load_face_proxy(assets, kind, name), body)
    pieces = wardrobe.dress(spec["garment"], body, assets)[0] + wardrobe.accessorise(spec["accessory"], body, assets)
    moved |= {piece.name: piece.vertices for piece in pieces}
    for name, vertices in moved.items():
        mesh = person.objects[name].data
        mesh.vertices.foreach_set("co", vertices.astype(np.float32).ravel())
        mesh.update()


def move_strands(thing: bpy.types.Object, strands: np.ndarray) -> None:
    """Bring hair curves to other places `(S, K, 3)`."""
    thing.data.attributes["position"].data.foreach_set("vector", strands.astype(np.float32).ravel())
    thing.data.update_tag()


def obstacle(body: people.Body) -> Collider:
    """The posed skin from the chest up, for strands in the world; its samples are the same for every pose."""
    faces = people.triangles(people.base_mesh()[1]["body"][0])
    high = body.rest[faces[:, 0], 2] > body.bone_head("head")[2] - 0.45
    return Collider(body.posed, faces[high], np.random.default_rng(0))


def face_centre(body: people.Body) -> np.ndarray:
    """(3,) posed middle between the eyes."""
    eyes = (body.bone_head("eye.L") + body.bone_head("eye.R")) / 2
    return (body.bone_transform("head") @ np.append(eyes, 1))[:3]


@functools.cache
def head_landmarks() -> tuple:
    """The default body, on which the masks of scalp and beard are drawn: vertices, quads, eye and ears' vertices."""
    body = people.build_body({})
    marks = people.landmarks(body)
    return body.rest, people.base_mesh()[1]["body"][0], marks.eye, marks.ear_vertices


def _per_vertex(face_values: np.ndarray, quads: np.ndarray, count: int) -> np.ndarray:
    """Mean over the faces around each of `count` vertices."""
    total = np.bincount(quads.ravel(), np.repeat(face_values, quads.shape[1]), count)
    return total / np.maximum(np.bincount(quads.ravel(), minlength=count), 1)


def _world_vertices(thing: bpy.types.Object) -> np.ndarray:
    flat = np.empty(3 * len(thing.data.vertices), np.float32)
    thing.data.vertices.foreach_get("co", flat)
    return flat.reshape(-1, 3)
