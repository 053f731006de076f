"""What was found when spines were checked one by one, in a few lines for the panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spinecore.analysis.checking import check_report, disagreements
from spinecore.ui.words import count_text

if TYPE_CHECKING:
    from spinecore.analysis.result import Analysis


def summary_of(analysis: Analysis) -> dict[str, Any]:
    """Return lines about what was checked, and the candidates about which people differ."""
    if not analysis.corrections.answers:
        return {"lines": [], "differ": []}
    report = check_report(analysis)
    found = report["all"]
    lines = [
        f"{count_text(report['reviewed'], 'spine')} checked by {_names(report['people'])}; "
        f"{report['unreviewed']} not looked at."
    ]
    if found["n"]:
        lines.append(
            f"The program: {found['right']} right, {found['false']} false, {found['missed']} missed"
            f"{_rates(found)}."
        )
    lines += [_agreement(pair) for pair in report["agreement"] if pair["n"]]
    differ = [{"spine": d.candidate, "answers": _answers(d.answers)} for d in disagreements(analysis)]
    return {"lines": lines, "differ": differ}


def _names(people: list[str]) -> str:
    named = [name or "a person without a name" for name in people]
    return " and ".join(named) or "hand"


def _rates(found: dict[str, Any]) -> str:
    known = [(n, found[n]) for n in ("precision", "recall", "f1") if found[n] is not None]
    return "".join(f", {'F1' if n == 'f1' else n} {value:.2f}" for n, value in known)


def _agreement(pair: dict[str, Any]) -> str:
    parts = [
        f"{name} {pair[key]:.2f}" for key, name in (("f1", "F1"), ("kappa", "kappa")) if pair[key] is not None
    ]
    return (
        f"{pair['a']} and {pair['b']} both checked {pair['n']}: {', '.join(parts) or 'no spine among them'}."
    )


def _answers(answers: dict[str, str]) -> str:
    return ", ".join(f"{name or 'no name'}: {answer}" for name, answer in answers.items())
