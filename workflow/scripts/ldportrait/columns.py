"""The columns of prompts and manifests that several stages name. Nothing is imported, so that any may."""

ATTRIBUTES = (
    *("age", "gender", "ancestry", "hair_style", "hair_length", "hair_colour", "facial_hair", "garment"),
    *("garment_colour", "accessory", "pose", "expression", "framing", "light"),
)
SPLITS = ("train", "val", "test")
