"""Hooks of the documentation's build: pages made from docstrings, and files that lie outside of ``docs/``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docstring_parser
from mkdocs.structure.files import File, Files

from robustbench_fl.analysis.boards import Board, board_of
from robustbench_fl.api import params, registry
from robustbench_fl.api.faithfulness import LABELS, faithfulness, without_faithfulness
from robustbench_fl.api.references import bibtex
from robustbench_fl.core.claim_file import read_claim
from robustbench_fl.report.site.about import About
from robustbench_fl.report.site.pages import index, pages
from robustbench_fl.store import Store

ROOT = Path(__file__).parent.parent
TITLE = "Leaderboard: {}"
ABOUT = ("aggregators", "attacks")
TITLES = {
    "aggregators": "Aggregators",
    "attacks": "Attacks",
    "partitions": "Partitions",
    "datasets": "Data sets",
    "models": "Networks",
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of all methods, the contributor's page, and the figures that pages show."""
    for kind, title in TITLES.items():
        files.append(File.generated(config, f"methods/{kind}.md", content=methods_page(kind, title)))
    files.append(File.generated(config, "contributing.md", content=(ROOT / "CONTRIBUTING.md").read_text()))
    for path in figures():
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    known = {kind: {entry.name: _about(kind, entry) for entry in registry.load_all(kind)} for kind in ABOUT}
    held = list(boards(ROOT / "results"))
    files.append(File.generated(config, "boards/index.md", content=index(held)))
    for board in held:
        for path, content in pages(board, TITLE.format(board.name), *known.values()):
            files.append(File.generated(config, f"boards/{path}", content=content))
    return files


def boards(results: Path) -> Iterator[Board]:
    """Yield what the committed claims say, those of each folder of ``claims/`` together."""
    for folder in sorted((results / "claims").glob("*/")):
        claims = [read_claim(path) for path in sorted(folder.glob("*.json"))]
        stored = {
            record["key"]: record
            for plan in sorted((results / folder.name).glob("**/plan.jsonl.gz"))
            if plan.parent.name not in ("pilot", "tuning")
            for record in Store.existing(plan.parent).records()
        }
        yield board_of(folder.name, claims, stored)


def _about(kind: str, entry: registry.Entry) -> About:
    text = docstring_parser.parse(entry.cls.__doc__ or "", docstring_parser.DocstringStyle.NUMPYDOC)
    found = faithfulness(entry.cls)
    told = {label: getattr(found, name, "") for name, label in LABELS.items()}
    lines = "\n".join(f"* **{label}:** {_prose(said)}" for label, said in told.items() if said)
    summary = re.sub("`", "", _prose(text.short_description))
    return About(summary, lines, bibtex(entry.cls), f"methods/{kind}.html#{entry.name}")


def on_page_markdown(markdown: str, page: Any, **more: Any) -> str:
    """Turn links to files beside ``docs/`` into links within the site."""
    markdown = markdown.replace("](../results/", "](results/").replace(
        "](../CONTRIBUTING.md", "](contributing.md"
    )
    return markdown.replace("](docs/", "](") if page.file.src_uri == "contributing.md" else markdown


def figures() -> list[str]:
    """Return the paths of the committed figures that pages of ``docs/`` show."""
    pages = (page.read_text() for page in (ROOT / "docs").glob("*.md"))
    return sorted({path for text in pages for path in re.findall(r"\]\(\.\./(results/[^)]+)\)", text)})


def methods_page(kind: str, title: str) -> str:
    """Return the page of all methods of one kind, from their docstrings."""
    return f"# {title}\n\n" + "\n\n".join(_method(entry) for entry in registry.load_all(kind)) + "\n"


def _method(entry: registry.Entry) -> str:
    text = docstring_parser.parse(
        without_faithfulness(entry.cls.__doc__ or ""), docstring_parser.DocstringStyle.NUMPYDOC
    )
    told = {name: _prose(p.description) for p in text.params for name in p.arg_name.split(", ")}
    parts = [f"## {entry.name}", f"**{_prose(text.short_description)}**", _prose(text.long_description)]
    rows = [
        f"| `{p.name}` | {_cell(p.type)} | {_cell(p.range)} | "
        f"{'required' if p.required else f'`{_cell(str(p.default))}`'} | {_cell(told.get(p.name, ''))} |"
        for p in params.parameters(entry.cls)
    ]
    if rows:
        parts.append("\n".join(["| parameter | type | range | default | |", "|---|---|---|---|---|", *rows]))
    parts += [_prose(meta.description) for meta in text.meta if meta.args == ["notes"]]
    if faithfulness(entry.cls):
        parts.append(f"[What it was compared with](../faithfulness.md#{entry.name}).")
    parts.append(f"```bibtex\n{bibtex(entry.cls)}\n```")
    return "\n\n".join(part for part in parts if part)


def _prose(text: str | None) -> str:
    """Return reStructuredText as Markdown: code, and no cross references or footnote marks."""
    text = re.sub(r"``([^`]+)``", r"`\1`", text or "")
    text = re.sub(r":[a-z]+:`~?([^`]+)`", r"`\1`", text)
    text = re.sub(r"(?<![`\w])`([^`\s]+)`(?!`)", r"`\1`", text)
    return re.sub(r"\[(\d+)\]_", "", text).replace("<", "&lt;")


def _cell(text: Any) -> str:
    return re.sub(r"\s+", " ", "" if text is None else str(text)).replace("|", "\\|")
