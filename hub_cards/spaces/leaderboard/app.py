"""The Space of hf_nextfail: its leaderboard, and a playground for two checkpoints on one graph.

`python app.py` runs it on this machine. Whoever copies the folder of a run on star graphs into `checkpoints/GRAPH/`
can choose it in the playground. A `leaderboard.html` beside this file is shown instead of the records of the package.
"""

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
from playground import answer, choices, sample

from hf_nextfail.hub.collect import collect
from hf_nextfail.reporting.leaderboard import leaderboard_of
from hf_nextfail.reporting.leaderboard_page import TITLE, html_of

PAGE = Path(__file__).parent / "leaderboard.html"
ABOUT = """
A star graph has several arms around one start. The model reads the edges, the start and the goal, and writes the path
between them. Only the first step into an arm, the **hard token**, needs a plan. Draw a graph by its edges
(`a,b|c,d/start,goal=`), or sample one of the test split, and compare two checkpoints on it.
"""
FONTS = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Liberation Sans", "Arial", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace"]
CSS = """
.gradio-container { width: 100%; max-width: 76rem !important; margin: 0 auto; }
.gradio-container > .main { padding: .8rem; }
.gradio-container main, .tabitem, .html-container { padding-left: 0 !important; padding-right: 0 !important; }
label:has(input:focus-visible) { outline: 2px solid #0072b2; outline-offset: 2px; }
#board iframe { box-sizing: border-box; width: 100%; height: 82vh; border: 1px solid #ccc; background: #fff; }
#board a { color: #0072b2; text-decoration: underline; }
.answer h3 { margin: 1rem 0 .3rem; font-size: 1.05rem; font-weight: bold; }
.answer p, .answer table { margin: .3rem 0; }
.answer [role=alert] { border-left: 3px solid #d55e00; padding-left: .6rem; }
.answer td, .answer th { padding: .15rem 1rem .15rem 0; text-align: left; border: 0; }
.answer img { width: 22rem; max-width: 100%; height: auto; background: #fff; border-radius: 4px; padding: 4px; }
"""


def page_of_leaderboard() -> Path:
    """Return the page that came with the push, or write that of the records which ship with the package."""
    if PAGE.is_file():
        return PAGE
    page = Path(tempfile.mkdtemp()) / PAGE.name
    page.write_text(html_of(leaderboard_of(collect([]).submissions)), encoding="utf-8")
    return page


def build(page: Path) -> gr.Blocks:
    """Lay out the two tabs."""
    known = choices()
    graphs = next(iter(known))

    def answers(prompt: str, graphs: str, *names: str) -> list[str]:
        return [answer(prompt, known[graphs][name]) for name in names]

    def another(graphs: str) -> str:
        return sample(next(iter(known[graphs].values())))

    def others(graphs: str) -> list[Any]:
        names = list(known[graphs])
        return [another(graphs), *(gr.update(choices=names, value=names[place]) for place in (0, -1))]

    with gr.Blocks(analytics_enabled=False, title=TITLE, fill_width=True) as demo:
        with gr.Tab("Leaderboard"):
            address = f"gradio_api/file={page}"
            gr.HTML(
                f'<p><a href="{address}" target="_blank">The table on a page of its own</a></p>'
                f'<iframe src="{address}" title="The leaderboard"></iframe>',
                elem_id="board",
                apply_default_css=False,
            )
        with gr.Tab("Playground"):
            gr.Markdown(ABOUT)
            kind = gr.Radio(list(known), value=graphs, label="Graphs that the checkpoints were trained on")
            prompt = gr.Textbox(label="Graph", max_length=2000, elem_id="graph")
            with gr.Row():
                drawn = gr.Button("Sample a graph", elem_id="sample")
                asked = gr.Button("Ask both", variant="primary", elem_id="ask")
            chosen, shown = [], []
            with gr.Row():
                for place, label in ((0, "First checkpoint"), (-1, "Second checkpoint")):
                    names = list(known[graphs])
                    with gr.Column(min_width=300):
                        chosen.append(gr.Dropdown(names, value=names[place], label=label))
                        shown.append(gr.HTML(elem_classes="answer", apply_default_css=False))
        # Pictures and models are not shared by threads, so that one request is answered after the other.
        ask = {"fn": answers, "inputs": [prompt, kind, *chosen], "outputs": shown, "concurrency_id": "model"}
        gr.on([asked.click, prompt.submit, *(one.input for one in chosen)], **ask)
        gr.on([demo.load, drawn.click], another, kind, prompt, concurrency_id="model").then(**ask)
        kind.input(others, kind, [prompt, *chosen], concurrency_id="model").then(**ask)
    return demo


if __name__ == "__main__":
    board = page_of_leaderboard()
    theme = gr.themes.Default(font=FONTS, font_mono=MONO)
    build(board).launch(allowed_paths=[str(board)], theme=theme, css=CSS, footer_links=[])
