"""CARD.md: what is in a generated corpus, where it comes from, what only it teaches, and what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping

from vla_sim.corpus import concepts
from vla_sim.corpus.kinds import ALL_KINDS, KINDS
from vla_sim.corpus.procedural import ProceduralCorpus
from vla_sim.demonstrations import LICENCE
from vla_sim.worlds.rendering import RENDER_SETTINGS

LIMITS = (
    "Questions are templates: their grammar is narrow, and every word is one of a few hundred.",
    "The tabletop has five kinds of things in five colours under one light; its camera moves little.",
    "Drawings are pictograms of one colour on plain paper; digits come from the fonts of OpenCV.",
    "Things that are partly hidden are not asked about: answers are never uncertain, as they would be in photographs.",
    "A held thing is where the arm is; left, right, in front and behind are the viewer's.",
    "Answers are balanced within each question, not over the corpus; the things they are about are drawn at random.",
    "Samples with the same `scene` show one demonstration or table: a split keeps them together.",
)


def card(corpus: ProceduralCorpus, versions: Mapping[str, str]) -> str:
    """The card of a corpus, in Markdown.

    Args:
        versions: of the libraries that the pictures depend on.
    """
    return "\n".join([*_about(corpus, versions), *_kinds(corpus), *_held_out(), *_limits()]) + "\n"


def _about(corpus: ProceduralCorpus, versions: Mapping[str, str]) -> list[str]:
    kinds = "" if corpus.kinds == tuple(KINDS) else f" kind=[{','.join(corpus.kinds)}]"
    options = f"count={len(corpus)} seed={corpus.album.seed} templates={corpus.templates.value}"
    return [
        "# A procedural image-text corpus",
        "",
        f"{len(corpus)} questions and answers about rendered tables, drawings, and words alone. Nobody wrote or",
        "photographed anything for it: pictures are simulated or drawn, and labels come from the state behind them.",
        "",
        f"- Licence: {LICENCE}, on every sample.",
        f"- Made by: `vla data web generate{kinds} {options} out=DIR`",
        f"- Seed: {corpus.album.seed}. Sample `i` depends on the seed, its kind and `i` alone.",
        f"- Wordings: {corpus.templates.value}.",
        f"- Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}.",
        f"- Rendering: {', '.join(f'{name} {value}' for name, value in RENDER_SETTINGS.items())}.",
        "",
    ]


def _kinds(corpus: ProceduralCorpus) -> list[str]:
    """A table of kinds, and one of questions."""
    number = len(corpus.kinds)
    lines = ["## Kinds", "", "| kind | samples | questions |", "|---|---:|---|"]
    for place, kind in enumerate(corpus.kinds):
        samples = len(range(place, len(corpus), number))
        lines.append(f"| {kind} | {samples} | {', '.join(w.name for w in ALL_KINDS[kind].wordings)} |")
    lines += ["", "## Templates", "", "| question | training | held out | for instance |", "|---|---:|---:|---|"]
    wordings = {wording.name: wording for kind in corpus.kinds for wording in ALL_KINDS[kind].wordings}
    for name, wording in wordings.items():
        lines.append(f"| {name} | {len(wording.training)} | {len(wording.held_out)} | {wording.training[0]} |")
    return [*lines, ""]


def _held_out() -> list[str]:
    synonyms = {**concepts.COLOUR_SYNONYMS, **concepts.KIND_SYNONYMS}
    return [
        "## Concepts that only this corpus teaches",
        "",
        "No instruction of the tabletop speaks of them: `vla_sim/corpus/concepts.py` is the list.",
        "",
        f"- Numbers and digits: {', '.join(concepts.NUMBERS)}.",
        f"- Arithmetic: {', '.join(concepts.ARITHMETIC)}.",
        f"- Symbols: {', '.join(concepts.SYMBOLS)}.",
        *(f"- Category {name}: {', '.join(members)}." for name, members in concepts.CATEGORIES.items()),
        f"- Synonyms: {'; '.join(f'{plain}: ' + ', '.join(words) for plain, words in synonyms.items())}.",
        f"- Colours of drawings: {', '.join(concepts.DRAWN_COLOURS)}.",
        "",
    ]


def _limits() -> list[str]:
    return ["## Limits", "", *(f"- {limit}" for limit in LIMITS)]
