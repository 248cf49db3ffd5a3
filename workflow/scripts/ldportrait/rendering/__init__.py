"""The Blender renderer behind `make bank`: people, hair, wardrobe, casting, backgrounds, scene, motion."""
