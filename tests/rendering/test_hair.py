"""Hair on a synthetic head: an icosphere of known radius, so that every distance has an exact answer."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from ldportrait.rendering import hair

RADIUS = 0.1
CENTRE = np.array([0.0, 0.0, 1.5])
CAP = 0.35  # the scalp is the part of the sphere above this share of the radius, and the whole back


def icosphere(levels: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V,3) on the unit sphere and outward triangles (M,3)."""
    golden = (1 + 5**0.5) / 2
    corners = [(a * 1.0, b * golden, 0.0) for b in (-1, 1) for a in (-1, 1)]
    vertices = np.array([np.roll(c, shift) for shift in range(3) for c in corners])
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    edge = np.linalg.norm(vertices[:, None] - vertices, axis=2)
    near = (edge > 0) & (edge < 1.1)
    triangles = [
        (i, j, k)
        for i in range(12)
        for j in range(i + 1, 12)
        for k in range(j + 1, 12)
        if near[i, j] and near[j, k] and near[i, k]
    ]
    for _ in range(levels):
        known: dict[tuple[int, int], int] = {}
        points = list(vertices)
        finer = []
        for triangle in triangles:
            middle = []
            for a, b in zip(triangle, triangle[1:] + triangle[:1], strict=True):
                key = (min(a, b), max(a, b))
                if key not in known:
                    known[key] = len(points)
                    half = points[a] + points[b]
                    points.append(half / np.linalg.norm(half))
                middle.append(known[key])
            (a, b, c), (ab, bc, ca) = triangle, middle
            finer += [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        vertices, triangles = np.array(points), finer
    faces = np.array(triangles)
    corner = vertices[faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    flipped = (normal * corner.mean(axis=1)).sum(axis=1) < 0
    faces[flipped] = faces[flipped][:, ::-1]
    return vertices, faces


@pytest.fixture(scope="module")
def head() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    unit, faces = icosphere()
    middle = unit[faces].mean(axis=1)
    weights = ((middle[:, 2] > CAP) | ((middle[:, 1] > 0.3) & (middle[:, 2] > -0.3))).astype(float)
    return CENTRE + RADIUS * unit, faces, weights


def small(style: hair.Style, strands: int = 600, guides: int = 150) -> hair.Style:
    """The style with fewer strands, so that the tests are quick."""
    count = min(style.strands, strands)
    return dataclasses.replace(style, strands=count, guides=min(style.guides, guides), locks=min(style.locks, 60))


def grown(head, style: hair.Style, seed: int = 0, gravity=(0.0, 0.0, -1.0)) -> np.ndarray:
    vertices, faces, weights = head
    scalp = weights > 0
    rng = np.random.default_rng(seed)
    return hair.grow(vertices, faces[scalp], weights[scalp], (vertices, faces), style, rng, gravity)


def ball_weights() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A ball in place of the default body: vertices, quads, eye, ear vertices (a patch on either side)."""
    rows, columns = 60, 80
    polar, around = np.meshgrid(np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns), indexing="ij")
    unit = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1)
    vertices = (0.1 * unit + CENTRE).reshape(-1, 3)
    index = np.arange(rows * columns).reshape(rows, columns)
    quads = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], axis=-1).reshape(-1, 4)
    eye = CENTRE + np.array([0.03, -0.09, -0.01])
    local = vertices - CENTRE
    ears = np.flatnonzero((np.abs(local[:, 0]) > 0.09) & (np.abs(local[:, 2]) < 0.03))
    return vertices, quads, eye, ears


def lengths(strands: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(strands, axis=1), axis=-1)


@pytest.mark.parametrize("name", [name for name in hair.STYLES if name != "bald"])
def test_every_style_grows_finite_strands_outside_the_head(head, name):
    style = small(hair.STYLES[name])
    strands = grown(head, style)
    assert strands.shape == (style.strands, style.points, 3)
    assert strands.dtype == np.float32
    assert np.isfinite(strands).all()
    distance = np.linalg.norm(strands[:, 1:] - CENTRE, axis=-1)
    # the flat faces of the icosphere lie up to 0.1 mm inside the sphere
    assert distance.min() > RADIUS - 0.0002
    roots = np.linalg.norm(strands[:, 0] - CENTRE, axis=-1)
    assert np.abs(roots - RADIUS).max() < 0.0002
    assert lengths(strands).sum(axis=1).max() < 0.8


@pytest.mark.parametrize("name", [name for name in hair.BEARDS if name != "none"])
def test_every_beard_grows_finite_strands(head, name):
    vertices, faces, _ = head
    middle = vertices[faces].mean(axis=1) - CENTRE
    weights = ((middle[:, 1] < -0.05) & (middle[:, 2] < -0.03)).astype(float)
    style = small(hair.BEARDS[name])
    strands = hair.grow(vertices, faces, weights, (vertices, faces), style, np.random.default_rng(0))
    assert strands.shape == (style.strands, style.points, 3)
    assert np.isfinite(strands).all()
    assert (strands[:, 0, 1] < 0).all()
    assert np.linalg.norm(strands - CENTRE, axis=-1).min() > RADIUS - 0.0002


def test_bald_and_no_beard_have_no_strands(head):
    assert len(grown(head, hair.STYLES["bald"])) == 0
    assert len(grown(head, hair.BEARDS["none"])) == 0


def test_straight_hair_keeps_its_segments_even(head):
    step = lengths(grown(head, dataclasses.replace(small(hair.STYLES["long straight"]), flyaway=0.0)))
    spread = step.std(axis=1) / step.mean(axis=1)
    assert np.median(spread) < 0.15
    assert np.quantile(spread, 0.95) < 0.35


def test_roots_lie_on_the_weighted_faces(head):
    strands = grown(head, small(hair.STYLES["crop"]))
    local = (strands[:, 0] - CENTRE) / RADIUS
    margin = 0.1  # a face is this wide
    assert ((local[:, 2] > CAP - margin) | ((local[:, 1] > 0.3 - margin) & (local[:, 2] > -0.3 - margin))).all()


@pytest.mark.parametrize("name", ["long wavy", "afro", "ponytail"])
def test_same_seed_same_bits(head, name):
    style = small(hair.STYLES[name], 100, 60)
    first, again, other = (grown(head, style, seed) for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes()
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("gravity", [(0, 0, -1), (1, 0, -1), (-1, 0, -1), (0, 1, -0.3)])
def test_hair_hangs_along_gravity(head, gravity):
    style = dataclasses.replace(small(hair.STYLES["long straight"]), cut=None)
    strands = grown(head, style, gravity=gravity)
    ends = strands[:, -1] - strands[:, -6]
    ends /= np.linalg.norm(ends, axis=1, keepdims=True)
    down = np.array(gravity) / np.linalg.norm(gravity)
    assert np.median(ends @ down) > 0.9


def test_wind_blows_the_tips(head):
    still = dataclasses.replace(small(hair.STYLES["wind-blown long"]), wind=(0.0, 0.0, 0.0))
    blown = dataclasses.replace(still, wind=(0.6, 0.0, 0.0))
    assert grown(head, blown)[:, -1, 0].mean() > grown(head, still)[:, -1, 0].mean() + 0.05


@pytest.mark.parametrize("name", sorted(set(hair.STYLES) - {"bald"}))
def test_share_of_fly_aways(head, name):
    assert 0.02 <= hair.STYLES[name].flyaway <= 0.06


def test_fly_aways_leave_the_others(head):
    style = small(hair.STYLES["crop"], 4000)
    loose = grown(head, style)
    tidy = grown(head, dataclasses.replace(style, flyaway=0.0))
    moved = np.abs(loose - tidy).max(axis=(1, 2)) > 1e-5
    # binomial: 4000 strands, three standard deviations
    expected = style.flyaway
    assert abs(moved.mean() - expected) < 3 * (expected * (1 - expected) / len(loose)) ** 0.5


def test_middle_parting_sends_strands_to_their_own_side(head):
    strands = grown(head, small(hair.STYLES["long straight"]))
    top = strands[strands[:, 0, 2] > CENTRE[2] + 0.8 * RADIUS]
    left, right = top[top[:, 0, 0] > 0.01], top[top[:, 0, 0] < -0.01]
    assert min(len(left), len(right)) > 20
    assert (left[:, -1, 0] > 0).mean() > 0.95
    assert (right[:, -1, 0] < 0).mean() > 0.95


def test_side_parting_moves_the_border(head):
    strands = grown(head, small(hair.STYLES["long straight left parting"]))
    x = strands[:, 0, 0]
    between = strands[(x > 0.004) & (x < 0.020) & (strands[:, 0, 1] < 0) & (strands[:, 0, 2] > CENTRE[2] + 0.05)]
    assert len(between) > 10
    assert (between[:, -1, 0] < 0).mean() > 0.8  # left of the middle but right of the parting: combed to the right


def test_fringe_falls_before_the_forehead(head):
    strands = grown(head, small(hair.STYLES["bob with fringe"], 3000))
    front = strands[(strands[:, 0, 1] < -0.06) & (np.abs(strands[:, 0, 0]) < 0.02)]
    assert len(front) > 10
    assert (front[:, -1, 1] < -RADIUS + 0.02).mean() > 0.8  # the ends lie before the forehead


def test_afro_is_a_ball(head):
    strands = grown(head, small(hair.STYLES["afro"]))
    reach = np.linalg.norm(strands[:, -1] - strands[:, -1].mean(axis=0), axis=1)
    assert reach.std() / reach.mean() < 0.25


def test_gathered_hair_passes_one_point(head):
    style = hair.STYLES["ponytail"]
    tie = grown(head, small(style))[:, style.points // 2 - 1]
    assert (np.linalg.norm(tie - np.median(tie, axis=0), axis=1) < 0.03).mean() > 0.95


def test_scalp_mask():
    vertices, quads, eye, ears = ball_weights()
    weights = hair.scalp_weights(vertices, quads, eye, ears)
    assert weights.shape == (len(quads),)
    assert weights.min() >= 0
    assert weights.max() <= 1
    centres = vertices[quads].mean(axis=1) - CENTRE
    assert (weights[centres[:, 2] > 0.08] == 1).all()
    face = (centres[:, 1] < -0.08) & (centres[:, 2] < 0.02)
    assert (weights[face] == 0).all()
    ear = (np.abs(centres[:, 0]) > 0.095) & (np.abs(centres[:, 1]) < 0.012) & (np.abs(centres[:, 2]) < 0.015)
    assert ear.any()
    assert (weights[ear] == 0).all()


@pytest.mark.parametrize("kind", list(hair.BEARDS))
def test_beard_mask(kind):
    vertices, quads, eye, ears = ball_weights()
    weights = hair.beard_weights(vertices, quads, eye, ears, kind)
    centres = vertices[quads].mean(axis=1)
    assert weights.min() >= 0
    assert weights.max() <= 1
    assert (weights[centres[:, 2] > eye[2]] == 0).all()
    assert (weights.max() > 0) == (kind != "none")
    mouth = (np.abs(centres[:, 0]) < 0.015) & (np.abs(centres[:, 2] - eye[2] + 0.068) < 0.004) & (centres[:, 1] < 0)
    assert mouth.any()
    assert (weights[mouth] == 0).all()


def test_styles_are_plain_data_and_described():
    for style in [*hair.STYLES.values(), *hair.BEARDS.values()]:
        assert json.loads(json.dumps(dataclasses.asdict(style)))["length"]
        assert style.texture
        assert style.parting


def test_colours():
    assert {"black", "brown", "blond", "grey", "red", "blue"} <= set(hair.COLOURS)
    for colour in hair.COLOURS.values():
        assert ("dye" in colour) != ({"melanin", "redness"} <= set(colour))
        assert all(0 <= value <= 1 for value in colour["root_rgb"])


def test_bad_input_is_named(head):
    vertices, faces, weights = head
    rng = np.random.default_rng(0)
    style = small(hair.STYLES["crop"])
    with pytest.raises(ValueError, match="one weight per triangle"):
        hair.grow(vertices, faces, weights[:-1], (vertices, faces), style, rng)
    with pytest.raises(ValueError, match="nowhere for hair to grow"):
        hair.grow(vertices, faces, np.zeros(len(faces)), (vertices, faces), style, rng)
    with pytest.raises(ValueError, match="gravity"):
        hair.grow(vertices, faces, weights, (vertices, faces), style, rng, gravity=(0, 0, 0))
    with pytest.raises(ValueError, match="unknown beard"):
        hair.beard_weights(*ball_weights(), "mutton chops")
