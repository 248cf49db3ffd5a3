"""What several stages name alike: columns of prompts and manifests, and networks. Nothing is imported: any may use it."""

ATTRIBUTES = (
    *("age", "gender", "ancestry", "hair_style", "hair_length", "hair_colour", "facial_hair", "garment"),
    *("garment_colour", "accessory", "pose", "expression", "framing", "light"),
)
SPLITS = ("train", "val", "test")
TRIMAP_BASED = ("small-trimap", "vitmatte-s", "vitmatte-b")  # of ldportrait.models, whose modules take long to import
