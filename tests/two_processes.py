"""A training in two processes, for a test: started by torchrun, it notes what each saw and where it ended.

Arguments: the folder for the notes, and the tars.
"""

import sys
from pathlib import Path

import torch
from test_training import PARAMS, PLAN, Recorded, Tiny, grounds

from ldportrait import training
from ldportrait.training_data import Shard
from ldportrait.training_module import Losses, Matting


def main(folder: Path, tars: list[Path]) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shards = []
    for number, tar in enumerate(tars):
        ids = tuple(f"x-{i:09d}" for i in range(4 * number, min(4 * number + 4, 10)))
        shards.append(Shard(tar, ids, 4 * 64 * 64))
    stream = Recorded(shards, grounds(), PARAMS, 0, 100)
    broken = stream[5]["image"][0, 0, 0].item()  # the first sample of the second process's second batch
    stream.seen.clear()
    module = Matting(Tiny((broken,)), Losses(1, 1, 0.5, 0), PLAN, inspection=folder / "skipped")
    training.fit(module, stream, folder / "checkpoints", {})
    result = {"seen": stream.seen, "weights": dict(module.network.named_parameters()), "skipped": module.skipped}
    result["weights"] = {name: weight.detach() for name, weight in result["weights"].items()}
    torch.save(result, folder / f"rank-{module.global_rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(path) for path in sys.argv[2:]])
