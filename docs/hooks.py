"""What the site needs beside mkdocs' own plugins: formulas as MathML, notebooks as pages, doctests of docstrings as code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import griffe
import latex2mathml.converter
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take ```math blocks, as GitHub does too."""
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "math", "class": "math", "format": _formula})
    return config


def _formula(source: str, *_: Any, **__: Any) -> str:
    return f'<div class="math">{latex2mathml.converter.convert(source, display="block")}</div>'


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Make a page NAME.md of each notebook NAME.ipynb, which stays beside it to be downloaded."""
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        notebook = json.loads(Path(str(file.abs_src_path)).read_text(encoding="utf-8"))
        name = file.src_uri.removesuffix(".ipynb") + ".md"
        files.append(File.generated(config, name, content="\n\n".join(map(_cell, notebook["cells"]))))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead from other pages to a notebook's page."""
    own = page.file.src_uri.removesuffix(".md") + ".ipynb"
    return re.sub(
        r"\]\(([\w./]+)\.ipynb\)",
        lambda link: link[0] if own.endswith(f"{link[1]}.ipynb") else f"]({link[1]}.md)",
        markdown,
    )


def on_page_content(html: str, **_: Any) -> str:
    """Keep what belongs to a number in a table on its line: ± 2.9, and [-0.2, 1.2]."""
    html = re.sub(r"± (?=\d)", "±\u00a0", html)
    return re.sub(r"(\[-?\d[\d.]*,) (?=-?\d[\d.]*\])", "\\1\u00a0", html)


@event_priority(-100)
def on_post_build(config: MkDocsConfig) -> None:
    """Write the index of the search as the script too that the theme reads where pages are opened from the disk."""
    index = Path(config.site_dir) / "search" / "search_index.json"
    index.with_suffix(".js").write_text(f"var __index = {index.read_text(encoding='utf-8')}", encoding="utf-8")


def _cell(cell: dict[str, Any]) -> str:
    """A cell and what it put out, as Markdown."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    parts = [f"```python\n{source}\n```"]
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            parts.append(f"![Drawn by the cell above](data:image/png;base64,{''.join(data['image/png']).strip()})")
        else:
            parts.append(f"```text\n{''.join(output.get('text') or data['text/plain']).rstrip()}\n```")
    return "\n\n".join(parts)


class Examples(griffe.Extension):
    """Doctests stand in docstrings as they are: each becomes a block of code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Fence the doctests of an object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^>>> .*(?:\n(?!\n).+)*", r"```pycon\n\g<0>\n```", obj.docstring.value, flags=re.M
            )
