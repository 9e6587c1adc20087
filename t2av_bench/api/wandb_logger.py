"""Scores as runs of Weights & Biases: ``--log wandb``. One W&B run for a run folder, however often it is logged.

W&B's own variables count: ``WANDB_PROJECT`` (else ``t2av-bench``), ``WANDB_ENTITY``, ``WANDB_NAME``, ``WANDB_MODE``,
``WANDB_DIR``, …. The id of the W&B run is kept in the run folder, so ``WANDB_RUN_ID`` and ``WANDB_RESUME`` do not.
"""

import json
import os
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from t2av_bench.api.loggers import PLAYED, Content, Media
from t2av_bench.errors import NotApplicable
from t2av_bench.utils.files import write_text
from t2av_bench.utils.optional import require

PROJECT = "t2av-bench"
ID_FILE = "wandb.json"
_VIDEOS: dict[str, Literal["mp4", "webm", "gif", "ogg"]] = {
    ".mp4": "mp4", ".webm": "webm", ".gif": "gif", ".ogg": "ogg"
}  # fmt: skip
_LOCAL = ("offline", "dryrun", "disabled")


def check() -> None:
    """Raises NotApplicable where the package is missing, or nobody is logged in and W&B is not offline.

    Nothing is asked of the network.
    """
    require("wandb.sdk", "wandb")  # W&B's own folder of the same name, in the working folder, has no such module
    import wandb

    if _is_local():
        return
    try:
        known = wandb.api.api_key or os.environ.get("WANDB_IDENTITY_TOKEN_FILE")
    except wandb.Error as error:
        raise NotApplicable(f"{error}: 'wandb login' asks for the key anew") from error
    if not known:
        raise NotApplicable(
            "--log wandb: nobody is logged in to Weights & Biases here: 'wandb login', or WANDB_API_KEY; "
            "WANDB_MODE=offline keeps everything on this machine, and 'wandb sync' uploads it later"
        )


def _is_local() -> bool:
    """Whether W&B stays on this machine: by ``WANDB_MODE``, or by ``wandb offline``, which it keeps in a file."""
    import wandb

    settings = wandb.Settings()  # not those of ``wandb.setup``, which would stay whatever the variables say later
    settings.update_from_system_settings()
    settings.update_from_env_vars(dict(os.environ))
    return settings.mode in _LOCAL


def log(content: Content) -> tuple[str | None, str]:
    """Make or update the W&B run of a run folder; returns where it is, and what else is to be said.

    Raises whatever W&B does.
    """
    import wandb

    # ``create_new``: a notebook or a training loop may have a run of its own, which stays as it is. The measurements
    # are over, so there is no load of the machine to be watched.
    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, reinit="create_new")
    environment = os.environ
    with wandb.init(
        project=environment.get("WANDB_PROJECT") or PROJECT,
        name=content.name if content.group else environment.get("WANDB_NAME") or content.name,
        group=environment.get("WANDB_RUN_GROUP") or content.group,
        id=_id(content.folder), resume=None if _is_local() else "allow", settings=settings,
    ) as run:  # fmt: skip
        run.config.update(dict(content.config), allow_val_change=True)
        for key, quantity in content.quantities.items():
            run.summary[key] = dict(quantity)
        run.log({"quantities": _quantities(content), "clips": _clips(content)})
        if run.disabled:
            return None, "nothing, as WANDB_MODE=disabled says"
        if not run.offline:
            return run.url, ""
        where = run.settings.sync_dir
    return where, f"offline, to be uploaded with: {shlex.join(['wandb', 'sync', where])}"


def _id(folder: Path) -> str:
    """Of the W&B run, in the run folder; made by the first command that logs it."""
    file = folder / ID_FILE
    if file.exists():
        return str(json.loads(file.read_text(encoding="utf-8"))["id"])
    found = secrets.token_hex(6)
    write_text(file, json.dumps({"id": found}) + "\n")
    return found


def _quantities(content: Content) -> Any:
    """A table of one row a quantity."""
    import wandb

    columns = list(dict.fromkeys(name for each in content.quantities.values() for name in each))
    rows = [[key, *(each[name] for name in columns)] for key, each in content.quantities.items()]
    return wandb.Table(columns=["column", *columns], data=rows)


def _clips(content: Content) -> Any:
    """A table of one row a clip; sounds without pictures in columns of their own, as W&B types columns."""
    import wandb

    rows = [_row(row) for row in content.rows]
    sounds = {name: _sound(name) for name in PLAYED if any(row.get(_sound(name)) for row in rows)}
    columns = [name for each in content.columns for name in filter(None, (each, sounds.get(each)))]
    return wandb.Table(columns=[*columns], data=[[row.get(name) for name in columns] for row in rows])


def _sound(name: str) -> str:
    return f"{name} sound"


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A clip with W&B's media, and what is to be said of those that it does not play."""
    import wandb

    found, notes = dict(row), [row["media"]]
    for name in PLAYED:
        media: Media | None = found.pop(name)
        if media is None:
            continue
        if not media.picture:
            found[_sound(name)] = wandb.Audio(str(media.path))
        elif media.path.suffix in _VIDEOS:
            found[name] = wandb.Video(str(media.path), format=_VIDEOS[media.path.suffix])
        else:
            notes.append(f"{name}: W&B plays no {media.path.suffix}, but {', '.join(_VIDEOS)}")
    return found | {"media": "\n".join(filter(None, notes)) or None}
