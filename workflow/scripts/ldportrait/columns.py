"""Names that stages share: columns of prompts and manifests, networks. It imports nothing, so that any may use it."""

ATTRIBUTES = (
    *("age", "gender", "ancestry", "hair_style", "hair_length", "hair_colour", "facial_hair", "garment"),
    *("garment_colour", "accessory", "pose", "expression", "framing", "light"),
)
SPLITS = ("train", "val", "test")
TRIMAP_BASED = ("small-trimap", "vitmatte-s", "vitmatte-b")  # of ldportrait.models, whose modules take long to import
