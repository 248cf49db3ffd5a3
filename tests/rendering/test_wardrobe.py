"""Clothes and accessories: shells on small meshes; whole outfits only where anny is installed."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from ldportrait.rendering import accessories, shells, wardrobe
from ldportrait.rendering.people import build_body, landmarks

needs_anny = pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="anny is not installed")
DATA = os.environ.get("MAKEHUMAN_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="MAKEHUMAN_DATA does not name the MakeHuman data")


def sheet(size=5):
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).reshape(-1, 2).astype(float)
    return np.column_stack([grid, np.zeros(len(grid))]), shells.grid_quads(size, size, closed=False)


def test_colours_are_linear_rgb():
    assert len(wardrobe.GARMENT_COLOURS) >= 10
    assert all(len(c) == 3 and all(0 <= v <= 1 for v in c) for c in wardrobe.GARMENT_COLOURS.values())


def test_every_garment_is_made_in_one_way():
    assert len(wardrobe.GARMENTS) >= 8
    for garment in wardrobe.GARMENTS.values():
        assert (garment.proxy is None) != (garment.build is None)
        assert garment.sex in ("woman", "man", "any")
        assert garment.material in ("jersey", "wool", "cotton", "denim", "satin")


def test_normals_and_boundary_of_a_flat_sheet():
    vertices, quads = sheet()
    np.testing.assert_allclose(shells.normals(vertices, quads), np.tile([0, 0, 1], (25, 1)))
    assert len(shells.boundary_edges(quads)) == 16


def test_thickened_sheet_is_closed():
    vertices, quads = shells.thicken(*sheet(), 0.1)
    assert len(shells.boundary_edges(quads)) == 0
    assert vertices[:, 2].min() == pytest.approx(-0.1)


def test_smoothing_lowers_a_spike_and_keeps_a_plane():
    vertices, quads = sheet()
    np.testing.assert_allclose(shells.smooth(vertices, quads, 5, hem_rounds=0), vertices, atol=1e-12)
    vertices[12, 2] = 1.0
    assert shells.smooth(vertices, quads, 5)[12, 2] < 0.7


def test_closed_tube_has_no_hem():
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    path = np.column_stack([np.cos(angle), np.sin(angle), 0 * angle])
    vertices, quads = shells.tube(path, 0.1, 6, closed=True)
    assert len(shells.boundary_edges(quads)) == 0
    ring = vertices.reshape(12, 6, 3) - path[:, None]
    np.testing.assert_allclose(np.linalg.norm(ring, axis=-1), 0.1)


@needs_anny
@pytest.mark.parametrize("name", [n for n, g in wardrobe.GARMENTS.items() if g.build])
def test_own_garments(name):
    body = build_body({"gender": 1.0})
    pieces, hidden = wardrobe.dress(name, body, Path("unused"))
    assert hidden.any()
    assert not hidden.all()
    for piece in pieces:
        assert np.isfinite(piece.vertices).all()
        assert piece.quads.max() < len(piece.vertices)


@needs_anny
@needs_data
@pytest.mark.parametrize("name", [n for n, g in wardrobe.GARMENTS.items() if g.proxy])
def test_fitted_garments(name):
    pieces, hidden = wardrobe.dress(name, build_body({}), Path(DATA))
    assert hidden.any()
    assert all(np.isfinite(piece.vertices).all() for piece in pieces)


@needs_anny
@pytest.mark.parametrize("name", [n for n, build in wardrobe.ACCESSORIES.items() if build])
def test_accessories(name):
    body = build_body({})
    pieces = wardrobe.accessorise(name, body, Path("unused"))
    assert pieces
    for piece in pieces:
        assert piece.name.startswith("accessory")
        assert np.isfinite(piece.vertices).all()


@needs_anny
def test_hats_hide_the_crown_and_not_the_nape():
    body = build_body({})
    marks = landmarks(body)
    roots = np.array([marks.crown, marks.crown - [0, -0.05, 0.16]])
    assert accessories.hidden_roots("beanie", roots, body).tolist() == [True, False]
    assert not accessories.hidden_roots("none", roots, body).any()


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="toga"):
        wardrobe.dress("toga", None, Path())
    with pytest.raises(ValueError, match="monocle"):
        wardrobe.accessorise("monocle", None, Path())
