"""``python -m reference_model.train CONFIG [--resume] [setting=value ...]``: train from the command line.

CONFIG is a TOML file, or a packaged configuration: ``paper``, ``release``, ``tiny``. The processes of ``torchrun`` or
``accelerate launch`` share each batch. Exit status: 0 finished or stopped by ``--stop-after``, 2 for wrong settings or
data, 1 when training failed, 128 + n after signal n (with a checkpoint).
"""

import argparse
import os
import sys


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m reference_model.train",
        description="Train Talker-T2AV on latents.",
        epilog="Example: python -m reference_model.train tiny output=runs/tiny steps=200",
    )
    parser.add_argument("config", help="a TOML file, or one of the packaged paper, release, tiny")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="setting=value",
        help="settings to change, e.g. batch.size=32 optimiser.learning_rate=3e-4",
    )
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint in the output folder")
    parser.add_argument("--stop-after", type=int, metavar="STEP", help="stop after this step, with a checkpoint")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    options = parser.parse_intermixed_args(arguments)
    if options.stop_after is not None and options.stop_after < 1:
        parser.error(f"--stop-after must be at least 1, got {options.stop_after}")

    # Imported late, so that --help does not wait for torch.
    try:
        from .training.config import read_config
        from .training.loop import TrainingError, train
    except ModuleNotFoundError as error:
        print(f"error: training needs {error.name}: pip install 't2av-bench[train]'", file=sys.stderr)
        return 2
    try:
        config = read_config(options.config, options.overrides)
        result = train(config, resume=options.resume, stop_after=options.stop_after, quiet=options.quiet)
    except (ValueError, FileNotFoundError) as error:  # settings, samples, checkpoints
        print(f"error: {error}", file=sys.stderr)
        return 2
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if os.environ.get("RANK", "0") == "0":
        print(result.model or result.checkpoint)
    return 128 + result.signal_number if result.signal_number else 0


if __name__ == "__main__":
    sys.exit(main())
