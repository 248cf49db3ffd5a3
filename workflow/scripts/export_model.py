"""Export a trained model to ONNX, for pictures of any size, and prove that it gives the same answers."""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ldportrait import commands

if TYPE_CHECKING:
    import torch

OPSET = 18
EXAMPLE = (2, 96, 80)  # batch, height and width that are traced
SIZES = ((1, 75, 131), (2, 160, 97))  # those that are compared, odd ones too
TOLERANCE = 1e-3


def main(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The model's folder.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The ONNX file: MODEL/model.onnx for --onnx.")],
) -> None:
    """Export a model to ONNX: image (B, 3, H, W) in [0, 1], and trimap where it needs one, to alpha (B, 1, H, W).

    B, H and W are free. The file appears only if onnxruntime answers as torch does, to 0.001, at two sizes.
    """
    from ldportrait import models

    network, info = models.load(model)

    from ldportrait.shards import replacing

    with replacing(output) as temporary:
        export(network, info, temporary)
        error = largest_difference(network, info, temporary)
        if not error <= TOLERANCE:
            raise ValueError(f"{info['model']} cannot be exported: the ONNX file's alpha differs by up to {error:.2g}.")
        size = temporary.stat().st_size
    typer.echo(f"{output}: {size / 1e6:.1f} MB, alpha differs by at most {error:.1e}")


def inputs(info: Mapping[str, object], batch: int, height: int, width: int) -> "dict[str, torch.Tensor]":
    """Random inputs of a network, by name; a trimap is mostly unknown, with a known corner of either kind."""
    import torch

    from ldportrait import models

    generator = torch.Generator().manual_seed(height * width)
    found = {"image": torch.rand(batch, 3, height, width, generator=generator)}
    if models.get(info["model"]).needs_trimap:
        found["trimap"] = torch.full((batch, 1, height, width), 0.5)
        found["trimap"][..., : height // 3, : width // 2] = 0
        found["trimap"][..., height // 2 :, width // 2 :] = 1
    return found


def export(network: "torch.nn.Module", info: Mapping[str, object], path: Path) -> None:
    """Write the ONNX file. Its metadata name the network and its weights' SHA-256.

    By torch's tracing exporter: the one by torch.export needs two packages more. ValueError if torch cannot.
    """
    import onnx
    import torch

    example = inputs(info, *EXAMPLE)
    free = {0: "batch", 2: "height", 3: "width"}
    try:
        with warnings.catch_warnings(), silence(), torch.no_grad():
            warnings.simplefilter("ignore")  # tracing warns of each size that it sees as a number; they are compared
            torch.onnx.export(
                network,
                tuple(example.values()),
                path,
                dynamo=False,
                opset_version=OPSET,
                input_names=list(example),
                output_names=["alpha"],
                dynamic_axes=dict.fromkeys((*example, "alpha"), free),
            )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        raise ValueError(f"{info['model']} cannot be exported: {str(error).partition('Please feel')[0]}") from error
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, {"model": str(info["model"]), "sha256": str(info["sha256"])})
    onnx.save(graph, path)


@contextmanager
def silence() -> Iterator[None]:
    """Drop what is printed below Python: torch 2.13 prints its whole graph where it cannot export an operation."""
    kept = os.dup(1)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def largest_difference(network: "torch.nn.Module", info: Mapping[str, object], path: Path) -> float:
    """Compare onnxruntime's alpha with torch's at SIZES; infinite if the file does not run.

    Of a network that decides between classes a few pixels may differ, its TIES, and are left out.
    """
    import onnxruntime
    import torch

    differences = []
    for size in SIZES:
        given = inputs(info, *size)
        with torch.inference_mode():
            expected = network(given["image"], given.get("trimap"))
        try:
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            (alpha,) = session.run(["alpha"], {name: tensor.numpy() for name, tensor in given.items()})
        except Exception:  # onnxruntime's errors have no base class of their own
            return float("inf")
        same = alpha.shape == tuple(expected.shape)
        if not same:
            return float("inf")
        error = (torch.from_numpy(alpha) - expected).abs().flatten()
        differences.append(float(error.quantile(1 - getattr(network, "TIES", 0.0), interpolation="higher")))
    return max(differences)


if __name__ == "__main__":
    commands.run(main)
