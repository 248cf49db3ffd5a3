"""How close a matte is to the truth: picture by picture, over the frames of a video, and by others' protocols."""
