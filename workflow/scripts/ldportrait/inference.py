"""Run a matting network on one picture, by torch or by onnxruntime.

A predictor is a network behind one call, whatever runs it: `predict(image, trimap)` takes a picture (H, W, 3) and a
trimap (H, W) of {0, 128, 255}, or None for a trimap-free network, all uint8, and returns alpha (H, W) float32.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ldportrait import models

Predictor = Callable[[np.ndarray, np.ndarray | None], np.ndarray]

ONNX = "model.onnx"


def device(gpus: int) -> str:
    """Where torch runs a network: cuda for a GPU, else cpu. ValueError for a GPU that torch does not find."""
    if gpus and not torch.cuda.is_available():
        raise ValueError("A GPU is asked for, but torch finds none; use --gpus 0.")
    return "cuda" if gpus else "cpu"


def matte(network: torch.nn.Module, image: np.ndarray, trimap: np.ndarray | None = None) -> np.ndarray:
    """Return the alpha (H, W) of a picture (H, W, 3) with a trimap (H, W) of {0, 128, 255}, or none; all are uint8."""
    return levels(predictor(network)(image, trimap))


def predictor(network: torch.nn.Module) -> Predictor:
    """Let torch run a network, where its weights are."""
    device = next(network.parameters()).device

    @torch.inference_mode()
    def predict(image: np.ndarray, trimap: np.ndarray | None) -> np.ndarray:
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None].float() / 255
        known = None if trimap is None else torch.from_numpy(thirds(trimap)).to(device)[None, None]
        alpha = network(pixels.contiguous(memory_format=torch.channels_last), known)
        return alpha[0, 0].float().clamp(0, 1).cpu().numpy()

    return predict


def onnx_predictor(folder: Path, threads: int = 1) -> Predictor:
    """Let onnxruntime run a model's ONNX file on the CPU.

    Raises FileNotFoundError or ValueError, naming the file, if there is none, if it is not readable, or if it was
    exported from other weights than those that the folder's description names.
    """
    import onnxruntime

    info, path = models.read_info(folder), Path(folder) / ONNX
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}; make it with export_model.py.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base class of their own
        raise ValueError(f"{path} is not a readable ONNX file: {error}") from error
    if session.get_modelmeta().custom_metadata_map.get("sha256") != info["sha256"]:
        raise ValueError(f"{path} was not exported from the weights beside it; export it again with export_model.py.")

    def predict(image: np.ndarray, trimap: np.ndarray | None) -> np.ndarray:
        feed = {"image": image.transpose(2, 0, 1)[None] / np.float32(255)}
        if trimap is not None:
            feed["trimap"] = thirds(trimap)[None, None]
        (alpha,) = session.run(["alpha"], feed)
        return np.clip(alpha[0, 0], 0, 1)

    return predict


def thirds(trimap: np.ndarray) -> np.ndarray:
    """Give a trimap of {0, 128, 255} as networks read it: 0, 0.5 and 1, float32."""
    return np.rint(trimap / np.float32(127.5)) / 2


def levels(alpha: np.ndarray) -> np.ndarray:
    """Round an alpha in [0, 1] to 8 bit."""
    return np.rint(255 * alpha).astype(np.uint8)
