"""The media matrix as a Markdown table: what each file of ``tests/factories/media_matrix_cases.py`` shows and sounds.

    python bench/media_matrix.py [--only TEXT]

Columns: slots of the 25 frames/s grid, and how many of the source's pictures stand in them; mean and largest time of
the shown picture minus its slot, and the mean that the rule "nearest picture" has by arithmetic; how late the burst
is heard, and how much later than it the flash is seen, beyond the truth (largest of three); PSNR and STOI against the
same content in an mp4. About 15 s on one core.
"""

import sys
import tempfile
from pathlib import Path

from measuring import ROOT, options

sys.path.insert(0, str(ROOT / "tests" / "factories"))

from media_matrix_cases import matrix
from media_matrix_factory import Case, write_case
from media_matrix_measure import Measured, measure

from t2av_bench.errors import MediaError

HEADINGS = (
    "container", "video", "audio", "pictures/s", "layout", "timing", "slots", "pictures", "mean ms", "by rule",
    "largest ms", "sound late ms", "flash late ms", "PSNR", "STOI",
)  # fmt: skip


def row(case: Case, found: Measured) -> tuple[str, ...]:
    rate = "variable" if case.rate is None else f"{float(case.rate):.5g}"
    wide = lambda errors: f"{max(errors, key=abs):+.2f}" if errors else "–"  # noqa: E731
    return (
        case.container, case.video or "–", case.audio or "–", rate, case.layout, case.timing, str(len(found.shown)),
        f"{len(set(found.shown))}/{len(case.times)}", f"{found.bias:+.1f}", f"{found.ideal_bias:+.1f}",
        f"{found.worst:.1f}", wide(found.burst_errors), wide(found.flash_errors),
        "–" if found.psnr is None else f"{found.psnr:.1f}", "–" if found.stoi is None else f"{found.stoi:.3f}",
    )  # fmt: skip


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--only", default="", help="only files whose name contains this")
    arguments = parser.parse_args()
    print("| " + " | ".join(HEADINGS) + " |\n|" + "---|" * len(HEADINGS))
    with tempfile.TemporaryDirectory() as folder:
        twins = Path(folder) / "twins"
        twins.mkdir()
        for case in matrix():
            if arguments.only not in case.name:
                continue
            path = write_case(Path(folder), case)
            try:
                cells = row(case, measure(case, path, twins))
            except MediaError as error:
                cells = (*row(case, Measured())[:6], f"{error}".replace("|", "/"))
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
