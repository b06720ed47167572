"""A table that a page can be searched and sorted by, in plain HTML that needs nothing from elsewhere."""

from __future__ import annotations

import html

import pandas as pd

_PAGE = """\
<div class="searchable">
<p><input type="search" placeholder="filter by letters" aria-label="filter" size="24"> <span></span></p>
<div style="max-height: 28em; overflow: auto"><table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody></table></div>
<script>
(function (root) {{
  const rows = [...root.querySelectorAll("tbody tr")], shown = root.querySelector("span");
  const value = (row, at) => row.cells[at].textContent;
  const compare = (one, other) => one - other || one.localeCompare(other);
  function filter(text) {{
    for (const row of rows) row.hidden = !value(row, 0).includes(text.toUpperCase());
    shown.textContent = rows.filter(row => !row.hidden).length + " of " + rows.length;
  }}
  root.querySelector("input").addEventListener("input", event => filter(event.target.value.trim()));
  root.querySelectorAll("th").forEach((head, at) => head.addEventListener("click", () => {{
    const up = head.dataset.up = head.dataset.up === "1" ? "" : "1";
    rows.sort((a, b) => (up ? 1 : -1) * compare(value(a, at), value(b, at)));
    rows.forEach(row => row.parentNode.append(row));
  }}));
  filter("");
}})(document.currentScript.parentNode);
</script>
</div>
"""


def searchable(table: pd.DataFrame) -> str:
    """A table as HTML: what is typed is looked for in the first column, and a click on a header sorts by its column.

    Numbers that aren't whole are rounded to three digits, missing ones left empty.
    """
    head = "".join(f'<th style="cursor: pointer">{html.escape(str(name))}</th>' for name in table.columns)
    rows = ("".join(f"<td>{html.escape(_text(value))}</td>" for value in row) for row in table.itertuples(index=False))
    return _PAGE.format(head=head, body="\n".join(f"<tr>{row}</tr>" for row in rows))


def _text(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.3f}"
    return str(value)
