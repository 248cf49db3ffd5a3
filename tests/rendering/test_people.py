"""Proxies, skinning, poses and expressions on small meshes; whole bodies only where anny is installed."""

import importlib.util
import json

import numpy as np
import pytest

from ldportrait.rendering import people
from ldportrait.rendering.people import Body, Proxy

needs_anny = pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="anny is not installed")


def two_bones(pose=None) -> Body:
    """A unit square; the vertices at x = 1 follow the arm, whose joint is at (1, 0, 0)."""
    rest = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]], dtype=float)
    bones = np.array([[0], [1], [1], [0]])
    body = Body(
        rest,
        rest,
        np.tile(np.eye(4), (2, 1, 1)),
        np.ones((4, 1)),
        bones,
        ("root", "arm"),
        np.array([[0, 0, 0], [1, 0, 0]], dtype=float),
        (-1, 0),
    )
    return people.pose_body(body, pose or {})


def test_skinning_turns_vertices_about_their_joint():
    posed = two_bones({"arm": people.rotation("y", 90)}).posed
    # a quarter turn about +Y takes +Z to +X: (1, 0, 1) goes to (2, 0, 0)
    np.testing.assert_allclose(posed, [[0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 0, 1]], atol=1e-12)


def test_children_are_carried_by_their_parents():
    body = two_bones({"root": people.rotation("z", 90), "arm": people.rotation("y", 90)})
    np.testing.assert_allclose(body.posed[2], [0, 2, 0], atol=1e-12)
    np.testing.assert_allclose(people.bone_transform(body, "arm")[:3, :3] @ [0, 0, 1], [0, 1, 0], atol=1e-12)


def test_half_weights_take_the_mean_of_two_places():
    posed = people.skin(
        np.array([[1.0, 0, 1]]),
        np.array([[0.5, 0.5]]),
        np.array([[0, 1]]),
        two_bones({"arm": people.rotation("y", 90)}).transforms,
    )
    np.testing.assert_allclose(posed, [[1.5, 0, 0.5]], atol=1e-12)


def test_unknown_bone_is_named():
    with pytest.raises(ValueError, match="tail"):
        two_bones({"tail": np.eye(3)})


def test_triangles_are_first_halves_then_second_halves():
    assert people.triangles(np.array([[0, 1, 2, 3]])).tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize("axis", "xyz")
@pytest.mark.parametrize("degrees", [-170, -33, 0, 12, 90])
def test_rotations_are_proper(axis, degrees):
    matrix = people.rotation(axis, degrees)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)
    assert np.trace(matrix) == pytest.approx(1 + 2 * np.cos(np.deg2rad(degrees)))


def test_rotation_refuses_other_axes():
    with pytest.raises(ValueError, match="axis"):
        people.rotation("w", 3)


@pytest.mark.parametrize("angles", [(0, 0, 0), (40, 12, -12), (-35, 5, 8), (20, -12, 0)])
def test_head_pose_adds_up_to_its_angles(angles):
    np.testing.assert_allclose(people.head_angles(people.head_pose(*angles)), angles, atol=1e-9)


def test_head_pose_directions():
    def turned(*angles):
        pose = people.head_pose(*angles)
        return pose["neck01"] @ pose["neck02"] @ pose["neck03"] @ pose["head"]

    assert (turned(30, 0, 0) @ [0, -1, 0])[0] > 0  # to the person's left
    assert (turned(0, 10, 0) @ [0, -1, 0])[2] > 0  # chin up
    assert (turned(0, 0, 10) @ [0, 0, 1])[0] > 0  # crown to the person's left


@pytest.mark.parametrize("angles", [(41, 0, 0), (0, 13, 0), (0, 0, -13), (float("nan"), 0, 0)])
def test_head_pose_refuses_broken_necks(angles):
    with pytest.raises(ValueError, match="Head pose"):
        people.head_pose(*angles)


def test_merge_poses_multiplies_shared_bones():
    a, b = people.rotation("x", 20), people.rotation("z", 30)
    merged = people.merge_poses({"head": a, "jaw": a}, {"head": b, "arm": b})
    np.testing.assert_allclose(merged["head"], a @ b)
    assert set(merged) == {"head", "jaw", "arm"}


@pytest.mark.parametrize("name", people.POSES)
def test_poses_are_rotations(name):
    for matrix in people.POSES[name].values():
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(matrix) == pytest.approx(1)


def test_there_are_enough_poses_and_expressions():
    assert len(people.POSES) >= 9
    assert len(people.EXPRESSIONS) >= 7
    for units in people.EXPRESSIONS.values():
        assert all(0 <= value <= 1 for value in units.values())


def test_unknown_pose_is_named():
    with pytest.raises(ValueError, match="cartwheel"):
        people.pose_for("cartwheel", {})


def test_age_anchors():
    assert people.age_phenotype(25) == pytest.approx(2 / 3)
    assert people.age_phenotype(90) == pytest.approx(1)
    with pytest.raises(ValueError, match="adult"):
        people.age_phenotype(12)


def test_face_shapes_are_seeded_bounded_and_even():
    first, again = (people.random_face_shape(np.random.default_rng(7)) for _ in range(2))
    assert first == again
    assert first != people.random_face_shape(np.random.default_rng(8))
    assert max(abs(v) for v in first.values()) <= 0.7
    assert all(first["r-" + k[2:]] == v for k, v in first.items() if k.startswith("l-"))


def proxy_json(**changes):
    data = {
        "faces": [43, 0, 1, 2, 3, 0, 0, 1, 2, 3, 0, 0, 0, 0, 8, 0, 1, 2, 0, 1, 2],
        "uvs": [[0, 0, 1, 0, 1, 1, 0, 1]],
        "ref_vIdxs": [[0, 1, 2]] * 4,
        "weights": [[0.5, 0.25, 0.25]] * 4,
        "offsets": [[1, 2, 3]] * 4,
        "materials": [{"mapDiffuse": "cloth.png"}],
        "metadata": {"deleteVerts": [0, 1, 1, 0]},
    }
    return json.dumps(data | changes)


def write(tmp_path, text):
    path = tmp_path / "shirt" / "shirt.json"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return path


def test_proxy_file(tmp_path):
    proxy = people.load_proxy(write(tmp_path, proxy_json()))
    assert proxy.name == "shirt"
    assert proxy.quads.tolist() == [[0, 1, 2, 3], [0, 1, 2, 2]]
    assert proxy.uv_quads.tolist() == [[0, 1, 2, 3], [0, 1, 2, 2]]
    # decimetres, Y up, to metres, Z up, facing -Y
    np.testing.assert_allclose(proxy.offsets[0], [0.1, -0.3, 0.2])
    assert proxy.textures == (tmp_path / "shirt" / "cloth.png",)


@pytest.mark.parametrize(
    ("published", "expected"), [([0, 1, 1, 0], [1, 2]), ([5, 3, 9], [3, 5, 9]), ([], []), (None, []), ([0, 0, 0], [])]
)
def test_both_forms_of_deleted_vertices(tmp_path, published, expected):
    proxy = people.load_proxy(write(tmp_path, proxy_json(metadata={"deleteVerts": published})))
    assert proxy.delete_vertices.tolist() == expected


def test_proxy_fits_by_weights_plus_offset():
    one = np.array([[0, 0, 0, 0]])
    proxy = Proxy(
        "p",
        one,
        one,
        np.zeros((1, 2)),
        np.array([[0, 1, 2]]),
        np.array([[0.5, 0.25, 0.25]]),
        np.array([[0.1, -0.3, 0.2]]),
    )
    # 0.5 (0,0,0) + 0.25 (1,0,0) + 0.25 (1,0,1) + offset
    np.testing.assert_allclose(people.fit_proxy(proxy, two_bones()), [[0.6, -0.3, 0.45]])
    np.testing.assert_allclose(people.fit_proxy_rest(proxy, two_bones()), [[0.6, -0.3, 0.45]])


@pytest.mark.parametrize("text", ["{", "[]", '{"faces": []}', proxy_json(faces=[9, 0, 1])])
def test_broken_proxy_gives_one_sentence(tmp_path, text):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match="is not a MakeHuman proxy") as error:
        people.load_proxy(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_proxy(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        people.load_proxy(tmp_path / "none.json")


@needs_anny
def test_units_and_bones_exist_in_the_model():
    model = people._model()
    units = {unit for expression in people.EXPRESSIONS.values() for unit in expression}
    assert units <= set(model.facial_action_labels)
    assert {bone for pose in people.POSES.values() for bone in pose} <= set(model.bone_labels)
    assert set(people.random_face_shape(np.random.default_rng(0))) <= set(model.local_change_labels)


@needs_anny
def test_body_is_finite_and_unknown_names_are_refused():
    body = people.build_body({"gender": 1.0}, pose=people.POSES["relaxed"])
    assert np.isfinite(body.posed).all()
    marks = people.landmarks(body)
    assert marks.chin[2] < marks.nose[2] < marks.eye[2] < marks.crown[2]
    with pytest.raises(ValueError, match="wings"):
        people.build_body({"wings": 1.0})
