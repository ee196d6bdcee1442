"""Charts (图表): drawn on the server, as images without script; the page that shows one has its table, too."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pygal
from pygal.style import Style
from starlette.responses import Response

from exchange.messages import _

# The library leaves a finder of its plugins behind that Python complains of at every later import; we have no plugins.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != pygal.__name__]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""What an image may do where it is looked at by itself: have a look of its own, and nothing else."""
COLOURS = ("#12436d", "#28a197", "#b3541e", "#7a6ba8")
"""Of series, told apart by who sees fewer colours, too; the first is the console's own."""
STATES = ("#11663a", "#c47f17", "#a51d1d", "#8a94a0")
"""Good, doubtful, bad, resting."""
_FONT = '"Noto Sans CJK SC", "Source Han Sans SC", "Microsoft YaHei", "WenQuanYi Zen Hei", sans-serif'
_TENTHS = [0, 0.2, 0.4, 0.6, 0.8, 1]
_LABELS = 9
"""Labels below a chart at most."""


def bars(
    labels: Sequence[str], series: Mapping[str, Sequence[float | None]], *, colours: Sequence[str] = COLOURS
) -> bytes:
    """Bars, the series of each on top of one another."""
    return _drawn(pygal.StackedBar, labels, series, colours, _grouped, spacing=6)


def lines(
    labels: Sequence[str], series: Mapping[str, Sequence[float | None]], *, colours: Sequence[str] = COLOURS
) -> bytes:
    """Lines of shares between nought and one."""
    return _drawn(pygal.Line, labels, series, colours, _share, range=(0, 1), y_labels=_TENTHS, dots_size=2.5)


def lying(
    labels: Sequence[str], series: Mapping[str, Sequence[float | None]], *, colours: Sequence[str] = STATES
) -> bytes:
    """The same as :func:`bars`, lying: their labels are words."""
    height = 90 + 34 * len(labels)
    turned = {name: list(reversed(each)) for name, each in series.items()}
    words = list(reversed(labels))
    return _drawn(pygal.HorizontalStackedBar, words, turned, colours, _grouped, height=height, every=True)


def image(drawn: bytes) -> Response:
    """A chart as an answer."""
    return Response(drawn, media_type="image/svg+xml", headers={"Content-Security-Policy": POLICY})


def _drawn(
    kind: Callable[..., Any],
    labels: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    colours: Sequence[str],
    said: Callable[[float | None], str],
    *,
    height: int = 280,
    every: bool = False,
    **options: Any,
) -> bytes:
    chart = kind(
        style=_style(colours),
        js=[],
        width=640,
        height=height,
        margin=12,
        legend_at_bottom=True,
        legend_at_bottom_columns=max(len(series), 1),
        legend_box_size=12,
        show_y_guides=True,
        no_data_text=_("没有数据"),
        disable_xml_declaration=False,
        value_formatter=said,
        x_label_rotation=0,
        truncate_label=-1,
        truncate_legend=-1,
        **options,
    )
    chart.x_labels = list(labels)
    if not every and len(labels) > _LABELS:
        chart.x_labels_major_every = -(-len(labels) // _LABELS)
        chart.show_minor_x_labels = False
    for name, values in (series or {"": ()}).items():
        chart.add(name, list(values))
    chart.add_xml_filter(_without_script)
    drawn: bytes = chart.render()
    return drawn


def _without_script(root: Any) -> Any:
    """The library writes its settings into a script even where it is to write none."""
    for parent in list(root.iter()):
        for child in list(parent):
            if isinstance(child.tag, str) and child.tag.rpartition("}")[2] == "script":
                parent.remove(child)
    return root


def _style(colours: Sequence[str]) -> Style:
    return Style(
        background="transparent",
        plot_background="transparent",
        foreground="#56606e",
        foreground_strong="#56606e",
        foreground_subtle="#cfd6de",
        guide_stroke_color="#dfe4e9",
        major_guide_stroke_color="#cfd6de",
        guide_stroke_dasharray="2,3",
        major_guide_stroke_dasharray="2,3",
        stroke_width="2",
        opacity="1",
        opacity_hover=".8",
        transition="0s",
        font_family=_FONT,
        label_font_size=13,
        major_label_font_size=13,
        legend_font_size=14,
        value_font_size=12,
        tooltip_font_size=13,
        no_data_font_size=18,
        colors=tuple(colours),
    )


def _grouped(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if float(value).is_integer() else ""


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}" if round(float(value) * 100, 6).is_integer() else f"{value:.2%}"
