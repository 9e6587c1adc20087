"""What a shell may complete a word to. Names alone are looked up: nothing is imported that measures or makes clips."""


def metric_names(typed: str) -> list[str]:
    """Families and ids of metrics, for the last of names with commas between."""
    from t2av_bench.metrics import metric_ids

    before, comma, last = typed.rpartition(",")
    ids = metric_ids()
    known = dict.fromkeys(["all", *(id.split("/")[0] for id in ids), *ids])
    return [before + comma + name for name in known if name.startswith(last)]


def system_ids(typed: str) -> list[str]:
    """Ids of systems."""
    from t2av_bench.systems import system_ids

    return [id for id in system_ids() if id.startswith(typed)]
