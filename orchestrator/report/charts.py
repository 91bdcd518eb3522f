"""Figures for Plotly as plain JSON values, out of what `gather` found.

    makings --make_timeline, make_throughput, make_memory--> over the run's time
    spread --make_spread--> how long records took;  counts --make_bars--> lengths side by side

Nothing grows with the run: times fall into N_BINS, workers into MOST_LINES. Plotly itself is never imported
(it would cost each run 0.2 s): the page carries its script. Colours are names that the page resolves.
Owns these figures. When it is wrong, charts mislead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aliquot.trace import FINE_NS, Spread, start_bin_ns
from orchestrator.progress import describe_count, describe_ms, describe_seconds
from orchestrator.report.gather import Making

Figure = dict[str, Any]

MOST_BARS = 1200  # slices that are drawn one by one
MOST_LINES = 40  # workers of a timeline
N_BINS = 120
COLOURS = ("$c1", "$c2", "$c3", "$c4", "$c5", "$c6")
_SHORTEST_MS = 1.0
_FEW = 10  # as many ticks as Plotly sets


def make_timeline(makings: Sequence[Making], share: float) -> tuple[Figure | None, str]:
    """Which worker was at what, and when; and the same in words."""
    timed = [each for each in makings if each.trace is not None]
    if not timed:
        return None, "No outcome of this run says when it was made."
    workers = _rank_workers(timed, is_sample=share < 1)
    stages = list(dict.fromkeys(each.key.stage for each in timed))
    if len(timed) <= MOST_BARS and len(workers) <= MOST_LINES:
        figure = _draw_slices(timed, workers, stages)
    else:
        figure = _draw_busy(timed, workers, share)
    begun, ended = _find_span(timed)
    took = describe_seconds((ended - begun) / 1000)
    of = "" if share >= 1 else f" Drawn from {len(timed):,} of {round(len(timed) / share):,} outcomes."
    busy_ms = sum(_find_ms(each) for each in timed) / min(1.0, share)
    mean = busy_ms / max(_SHORTEST_MS, ended - begun)
    return figure, f"{describe_count(len(workers), 'worker')} over {took}, {mean:.1f} at work on average.{of}"


def make_throughput(makings: Sequence[Making], share: float) -> tuple[Figure | None, str]:
    """Records answered a second over time, by stage."""
    timed = [each for each in makings if each.trace is not None]
    if not timed:
        return None, "No outcome of this run says when it was made."
    begun, ended = _find_span(timed)
    step_ms = max(_SHORTEST_MS, (ended - begun) / N_BINS)
    traces, most = [], 0.0
    for place, stage in enumerate(dict.fromkeys(each.key.stage for each in timed)):
        counted = [0.0] * N_BINS
        for each in timed:
            if each.key.stage == stage:
                _spread_over(counted, each, begun, step_ms, len(each.key.spans) / min(1.0, share))
        rates = [round(number / step_ms * 1000, 3) for number in counted]
        most = max(most, *rates)
        line = {"color": COLOURS[place % len(COLOURS)], "width": 1.5, "shape": "hv"}
        traces.append({**_line(stage, begun, step_ms, rates, line), "fill": "tozeroy"})
    mean = sum(len(each.key.spans) for each in timed) / min(1.0, share) / max(1.0, ended - begun) * 1000
    said = f"{mean:,.0f} records a second on average, {most:,.0f} at the most."
    return _lay_out(traces, "records a second", is_dated=True), said


def make_memory(makings: Sequence[Making], ceiling_mib: float | None) -> tuple[Figure | None, str]:
    """The largest private memory of any worker over time, and what it was allowed."""
    timed = [each for each in makings if each.trace is not None and each.peak_mib]
    if not timed:
        return None, "Hosts were too short-lived for their memory to be looked at."
    begun, ended = _find_span(timed)
    step_ms = max(_SHORTEST_MS, (ended - begun) / N_BINS)
    peaks: list[float | None] = [None] * N_BINS
    for each in timed:
        for at in _find_bins(each, begun, step_ms):
            peaks[at] = max(peaks[at] or 0, each.peak_mib)
    most = max(each.peak_mib for each in timed)
    traces = [_line("largest worker", begun, step_ms, peaks, {"color": "$c3", "width": 2, "shape": "hv"})]
    said = f"No worker had more than {most:,} MiB of its own"
    if ceiling_mib:
        ends = [_tell_time(begun), _tell_time(ended)]
        line = {"color": "$warn", "dash": "dash", "width": 1.5}
        traces.append({**_scatter("allowed", ends, [ceiling_mib, ceiling_mib], line)})
        said += f"; {ceiling_mib:,.0f} MiB were allowed"
    return _lay_out(traces, "MiB", is_dated=True), f"{said}."


def make_spread(spreads: Mapping[str, tuple[Spread, int]]) -> tuple[Figure | None, str]:
    """How many records took how long, by stage."""
    traces, said = [], []
    for place, (stage, (spread, n_records)) in enumerate(spreads.items()):
        bins = list_bins(spread, n_records)
        if not bins:
            continue
        edges = [start for start, _, _ in bins] + [bins[-1][1]]
        counts = [count for _, _, count in bins] + [0]
        line = {"color": COLOURS[place % len(COLOURS)], "width": 1.5, "shape": "hv"}
        traces.append({**_scatter(stage, edges, counts, line), "fill": "tozeroy"})
        said.append(f"{stage}: {_describe_spread(spread, bins, n_records)}.")
    if not traces:
        return None, "No outcome of this run says how long its records took."
    figure = _lay_out(traces, "records", is_dated=False)
    figure["layout"]["xaxis"] |= {"type": "log", "title": {"text": "milliseconds a record"}, "dtick": 1}
    figure["layout"]["yaxis"] |= _tick_whole(max(max(trace["y"]) for trace in traces))
    return figure, " ".join(said)


def _describe_spread(spread: Spread, bins: Sequence[tuple[float, float, int]], n_records: int) -> str:
    """Half, most and the longest in words; a bin's end may lie behind the longest, which bounds it."""
    longest_ms = spread.slow[0][0] / 1e6 if spread.slow else bins[-1][1]
    longest = describe_ms(longest_ms) if spread.slow else "under 0.1 ms"
    if n_records == 1:
        return f"one record, {longest}"
    half, most = (describe_ms(min(find_quantile(bins, share), longest_ms)) for share in (0.5, 0.99))
    return f"half of {n_records:,} records within {half}, 99% within {most}, the longest {longest}"


def make_bars(counts: Sequence[tuple[str, int]], title: str, colour: str = "$c1") -> Figure:
    """Lengths side by side, the first on top."""
    names, values = [name for name, _ in counts], [value for _, value in counts]
    bars = {"type": "bar", "orientation": "h", "y": names, "x": values, "marker": {"color": colour}}
    figure = _lay_out([{**bars, "cliponaxis": False}], "", is_dated=False)
    figure["layout"] |= {"height": 90 + 30 * len(names), "bargap": 0.35}
    figure["layout"]["yaxis"] |= {"type": "category", "autorange": "reversed", "automargin": True}
    figure["layout"]["xaxis"] |= {"title": {"text": title}, "rangemode": "tozero", **_tick_whole(max(values))}
    return figure


def make_stack(parts: Mapping[str, Sequence[float]], names: Sequence[str], title: str) -> Figure:
    """Bars of several parts each, the first on top."""
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": part,
            "y": list(names),
            "x": list(values),
            "marker": {"color": COLOURS[place % len(COLOURS)]},
        }
        for place, (part, values) in enumerate(parts.items())
    ]
    figure = _lay_out(traces, "", is_dated=False)
    figure["layout"] |= {"height": 130 + 34 * len(names), "barmode": "stack", "bargap": 0.35}
    figure["layout"]["legend"] |= {"traceorder": "normal"}  # as the parts stand in the bars
    figure["layout"]["yaxis"] |= {"type": "category", "autorange": "reversed", "automargin": True}
    figure["layout"]["xaxis"] |= {"title": {"text": title}, "tickformat": "$,.3~g"}
    return figure


def list_bins(spread: Spread, n_records: int) -> list[tuple[float, float, int]]:
    """The bins that records are in and those between, as (from, up to, records), in milliseconds."""
    n_fine = max(0, n_records - sum(spread.bins.values()))
    fine_ms = FINE_NS / 1e6
    bins = [(fine_ms / 10, fine_ms, n_fine)] if n_fine else []
    if spread.bins:
        first, last = min(spread.bins), max(spread.bins)
        edges = [(start_bin_ns(at) / 1e6, start_bin_ns(at + 1) / 1e6) for at in range(first, last + 1)]
        counts = [spread.bins.get(at, 0) for at in range(first, last + 1)]
        if n_fine and edges[0][0] > fine_ms:
            bins.append((fine_ms, edges[0][0], 0))
        bins += [(start, end, count) for (start, end), count in zip(edges, counts, strict=True)]
    return bins


def find_quantile(bins: Sequence[tuple[float, float, int]], share: float) -> float:
    """The end of the bin in which such a share of the records is reached."""
    wanted = share * sum(count for _, _, count in bins)
    for _, end, count in bins:
        wanted -= count
        if wanted <= 0:
            return end
    return bins[-1][1]


def _draw_slices(timed: Sequence[Making], workers: Sequence[str], stages: Sequence[str]) -> Figure:
    traces = []
    for place, stage in enumerate(stages):
        slices = [each for each in timed if each.key.stage == stage]
        bars: Figure = {
            "type": "bar",
            "orientation": "h",
            "name": stage,
            "y": [_name_worker(each) for each in slices],
            "base": [_tell_time(each.trace.began_ms) for each in slices if each.trace],
            "x": [_find_ms(each) for each in slices],
            "hovertext": [_describe_slice(each) for each in slices],
            "hoverinfo": "text",
            "marker": {"color": COLOURS[place % len(COLOURS)], "line": {"color": "$paper", "width": 1}},
        }
        traces.append(bars)
    figure = _lay_out(traces, "", is_dated=True)
    figure["layout"] |= {"height": 110 + 26 * len(workers), "barmode": "overlay", "bargap": 0.25}
    rows = {"type": "category", "categoryorder": "array", "categoryarray": list(workers)[::-1]}
    figure["layout"]["yaxis"] |= {**rows, "title": {"text": "worker"}}
    return figure


def _draw_busy(timed: Sequence[Making], workers: Sequence[str], share: float) -> Figure:
    """How busy workers were, several to a line where they are many."""
    most_lines, n_bins = MOST_LINES, N_BINS
    if share < 1:  # so that there is something of each cell in the sample
        most_lines = MOST_LINES // 2
        n_bins = max(12, min(N_BINS, len(timed) // (8 * most_lines)))
    each_line = -(-len(workers) // most_lines)
    lines = {name: place // each_line for place, name in enumerate(workers)}
    n_lines = max(lines.values()) + 1
    begun, ended = _find_span(timed)
    step_ms = max(_SHORTEST_MS, (ended - begun) / n_bins)
    busy = [[0.0] * n_bins for _ in range(n_lines)]
    for each in timed:
        _spread_over(busy[lines[_name_worker(each)]], each, begun, step_ms, _find_ms(each) / min(1.0, share))
    room = step_ms * each_line
    names = [
        f"{line * each_line + 1}-{min(len(workers), (line + 1) * each_line)}"
        if each_line > 1
        else workers[line]
        for line in range(n_lines)
    ]
    trace = {
        "type": "heatmap",
        "x": [_tell_time(begun + at * step_ms) for at in range(n_bins)],
        "y": names,
        "z": [[round(min(100.0, 100 * value / room)) for value in row] for row in busy],
        "zmin": 0,
        "zmax": 100,
        "colorscale": [[0, "$paper2"], [1, "$c1"]],
        "colorbar": {"title": {"text": "% busy"}, "thickness": 10, "len": 0.9},
        "hovertemplate": "workers %{y}<br>%{x}<br>%{z}% busy<extra></extra>",
    }
    figure = _lay_out([trace], "", is_dated=True)
    figure["layout"] |= {"height": 150 + 12 * n_lines}
    title = "workers" if each_line > 1 else "worker"
    figure["layout"]["yaxis"] |= {"type": "category", "autorange": "reversed", "title": {"text": title}}
    return figure


def _rank_workers(timed: Iterable[Making], *, is_sample: bool) -> list[str]:
    """Workers by number where they have plain ones, else as they began, which a sample does not tell."""
    firsts: dict[str, int] = {}
    for each in timed:
        if each.trace is not None:
            name = _name_worker(each)
            firsts[name] = min(firsts.get(name, each.trace.began_ms), each.trace.began_ms)
    if all(re.fullmatch(r"[0-9]{1,6}", name) for name in firsts):
        return sorted(firsts, key=int)
    if is_sample:
        return sorted(firsts)
    return sorted(firsts, key=lambda name: (firsts[name], name))


def _name_worker(making: Making) -> str:
    return making.trace.worker if making.trace is not None else ""


def _describe_slice(making: Making) -> str:
    key, n_records = making.key, len(making.key.spans)
    failed = f", {key.n_failed:,} failed" if key.n_failed else ""
    each = describe_ms(key.billed_ms / max(1, n_records))
    return (
        f"{key.stage}, chunk {key.chunk.seq}<br>{describe_count(n_records, 'record')}{failed}<br>{each} each"
    )


def _find_ms(making: Making) -> float:
    """How long its worker was at it."""
    assert making.trace is not None  # noqa: S101 - the caller has looked
    lasted = making.trace.ended_ms - making.trace.began_ms
    return max(_SHORTEST_MS, float(lasted))


def _find_span(timed: Iterable[Making]) -> tuple[float, float]:
    spans = [(each.trace.began_ms, each.trace.ended_ms) for each in timed if each.trace is not None]
    return min(begun for begun, _ in spans), max(ended for _, ended in spans)


def _find_bins(making: Making, begun: float, step_ms: float, n_bins: int = N_BINS) -> range:
    assert making.trace is not None  # noqa: S101 - the caller has looked
    first = int((making.trace.began_ms - begun) / step_ms)
    last = int((making.trace.ended_ms - begun) / step_ms)
    return range(min(first, n_bins - 1), min(last, n_bins - 1) + 1)


def _spread_over(counted: list[float], making: Making, begun: float, step_ms: float, amount: float) -> None:
    """Add an amount evenly to the bins of a slice's time."""
    bins = _find_bins(making, begun, step_ms, len(counted))
    for at in bins:
        counted[at] += amount / len(bins)


def _tell_time(ms: float) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _line(
    name: str, begun: float, step_ms: float, values: Sequence[float | None], line: Mapping[str, Any]
) -> Figure:
    times = [_tell_time(begun + at * step_ms) for at in range(len(values))]
    return _scatter(name, times, values, line)


def _scatter(name: str, x: Sequence[Any], y: Sequence[Any], line: Mapping[str, Any]) -> Figure:
    return {"type": "scatter", "mode": "lines", "name": name, "x": list(x), "y": list(y), "line": dict(line)}


def _tick_whole(most: int) -> Figure:
    """An axis of counts: Plotly sets ticks at halves where there are few."""
    return {"dtick": 1} if most <= _FEW else {}


def _lay_out(traces: Sequence[Figure], title: str, *, is_dated: bool) -> Figure:
    """A figure in the page's manner."""
    layout: Figure = {
        "height": 280,
        "margin": {"l": 60, "r": 16, "t": 8, "b": 44},
        "showlegend": len(traces) > 1,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "xaxis": {"automargin": True},
        "yaxis": {"automargin": True, "title": {"text": title}, "rangemode": "tozero"},
    }
    if is_dated:
        layout["xaxis"] |= {"type": "date", "title": {"text": "UTC"}}
    return {"data": list(traces), "layout": layout}
