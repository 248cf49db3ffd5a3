"""Croissant 1.0 (mlcommons.org/croissant): what a data set says of itself to machines."""

import json
from collections.abc import Mapping

import mlcroissant as mlc

from ldportrait.data_card import Tally, licence_of
from ldportrait.datasets import IMPORTED, METADATA, VARIANTS

FIELD_TYPES = {"b": "BOOLEAN", "i": "INTEGER", "u": "INTEGER", "f": "FLOAT"}


def describe(tally: Tally, run: str, digests: Mapping[str, str]) -> str:
    """Return the description as JSON; `digests` has the SHA-256 of the metadata and of each tar, by its path."""
    licence, variant = licence_of(tally.values["backend"]), tally.variant
    table = _file(METADATA, "application/x-parquet", digests)
    tars = [_file(path, "application/x-tar", digests) for path in sorted(tally.shards)]
    pictures = mlc.FileSet(
        id="pictures",
        name="pictures",
        description="The RGBA pictures inside the tars.",
        contained_in=[tar.id for tar in tars],
        encoding_formats=["image/webp"],
        includes=["*.rgba.webp"],
    )
    described = mlc.Metadata(
        name=f"ld-portrait-{run}-{variant}",
        description=f"{tally.portraits} portraits as straight RGBA; {VARIANTS.get(variant, IMPORTED)}.",
        license=[licence.url or licence.name],
        url="https://arxiv.org/abs/2501.16147",
        version="1.0.0",
        cite_as="Lu, Lu, Huang: Efficient Portrait Matte Creation With Layer Diffusion and Connectivity Priors.",
        distribution=[table, *tars, pictures],
        record_sets=[_portraits(tally.columns), _mattes()],
    )
    return json.dumps(described.to_json(), indent=1, ensure_ascii=False, default=str) + "\n"


def _file(path: str, kind: str, digests: Mapping[str, str]) -> mlc.FileObject:
    return mlc.FileObject(id=path, name=path, content_url=path, encoding_formats=[kind], sha256=digests[path])


def _portraits(columns: Mapping[str, str]) -> mlc.RecordSet:
    """A record a row of the metadata; `columns` has the kind of each column's values."""
    fields = [
        mlc.Field(
            id=f"portraits/{name}",
            name=name,
            data_types=[getattr(mlc.DataType, FIELD_TYPES.get(kind, "TEXT"))],
            source=mlc.Source(file_object=METADATA, extract=mlc.Extract(column=name)),
        )
        for name, kind in columns.items()
    ]
    return mlc.RecordSet(
        id="portraits", name="portraits", description="A row per portrait.", key="portraits/id", fields=fields
    )


def _mattes() -> mlc.RecordSet:
    """A record a picture inside the tars, called by its id."""
    file_name = mlc.Source(
        file_set="pictures",
        extract=mlc.Extract(file_property=mlc.FileProperty.filename),
        transforms=[mlc.Transform(regex=r"^(?:.*/)?([^./]+)\.rgba\.webp$")],
    )
    id = mlc.Field(
        id="mattes/id",
        name="id",
        data_types=[mlc.DataType.TEXT],
        references=mlc.Source(field="portraits/id"),
        source=file_name,
    )
    content = mlc.Source(file_set="pictures", extract=mlc.Extract(file_property=mlc.FileProperty.content))
    rgba = mlc.Field(id="mattes/rgba", name="rgba", data_types=[mlc.DataType.IMAGE_OBJECT], source=content)
    return mlc.RecordSet(
        id="mattes", name="mattes", description="The pictures, by id.", key="mattes/id", fields=[id, rgba]
    )
