"""Video portrait matting: segmentation → trimap → matte, frame by frame, in memory that does not grow with length.

Everything here is a stream: `files` reads frames, `segmenters` say where the person is, `trimaps` what of it is
unknown, `matting` gives alpha to that by a matting network and makes it steady, `cutouts` joins these and writes.
"""
