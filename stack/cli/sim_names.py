"""What a scenario chooses by name, for `tapstack sim --list-profiles`."""

from typing import Final

NAMES: Final[dict[str, dict[str, str]]] = {
    "congestion": {
        "cubic": "by the time since the last loss (RFC 9438); the default",
        "newreno": "one segment more per round trip, half on loss (RFC 6582)",
        "reno": "the same without an answer to partial ACKs",
        "tahoe": "every loss means slow start from one segment",
        "bbr": "a model of the path instead of its losses: BBR version 3",
        "fixed": "fixed_window_segs segments, whatever happens",
    },
    "loss_detection": {
        "rack": "by time, with tail loss probes (RFC 8985); the default",
        "rfc6675": "by counting what SACK reports beyond a hole",
    },
    "rtt_estimator": {
        "jacobson": "mean and deviation (RFC 6298); the default",
        "karn": "the mean, without samples of what was sent twice",
        "original": "the mean of all samples (RFC 793)",
    },
    "profile": {
        "stop-and-wait": "one segment per round trip",
        "alternating-bit": "the same with segments that one bit numbers",
        "go-back-n": "a window; a loss sends all of it again",
        "selective-repeat": "a window; what is missing is sent again",
    },
}
_HEADS: Final = {
    "congestion": "congestion control",
    "loss_detection": "loss detection (without SACK: three duplicate ACKs)",
    "rtt_estimator": "estimator of the round-trip time",
    "profile": "older machines, all settings at once for both ends",
}


def listed() -> str:
    """All names, one a line."""
    lines = ["To be written into [tcp], or compared: --compare congestion=cubic,bbr."]
    for key, names in NAMES.items():
        lines += ["", f'{_HEADS[key]}: {key} = "..."', *(f"  {name:17} {words}" for name, words in names.items())]
    return "\n".join(lines)
