"""How a report looks: one style sheet and its colours, light and dark.

Decides colours and layout. Every text colour keeps a contrast of at least 4.5 to its ground in both modes. A
participant has the hue of its organization and a shade of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

LIGHT: Mapping[str, str] = {
    "ground": "#f4f5f1",
    "surface": "#ffffff",
    "raised": "#f8f9f6",
    "ink": "#1b2023",
    "muted": "#566068",
    "rule": "#e1e4de",
    "grid": "#eceeea",
    "accent": "#0c6b62",
    "central": "#5b4bb0",
    "alone": "#9a5a12",
    "good": "#17693b",
    "good-ground": "#e4f2e8",
    "bad": "#a3211b",
    "bad-ground": "#fbe9e7",
    "warn": "#7a5200",
    "warn-ground": "#fbf1dc",
}
DARK: Mapping[str, str] = {
    "ground": "#0e1113",
    "surface": "#161a1d",
    "raised": "#1b2024",
    "ink": "#e9ecee",
    "muted": "#a0abb3",
    "rule": "#2b3237",
    "grid": "#22282c",
    "accent": "#56c8b9",
    "central": "#b0a3f5",
    "alone": "#e7ab62",
    "good": "#74d39a",
    "good-ground": "#15291d",
    "bad": "#ff9a91",
    "bad-ground": "#331917",
    "warn": "#ecc273",
    "warn-ground": "#2e2512",
}

_HUES = ("#2f6fb3", "#cf6a1f", "#25875f", "#8556bd", "#bf3f64", "#7d721c", "#20829a", "#7c5644")
_CLASSES = (
    "#1d7a70",
    "#c98a2b",
    "#5b4bb0",
    "#c2476b",
    "#7d9a2e",
    "#3b78bd",
    "#a35a2c",
    "#46a3a8",
    "#9b63ad",
    "#6b747b",
)
CLASS_COLOURS = len(_CLASSES)
_SHADES = (0.0, 0.38, -0.34, 0.6, -0.55, 0.22, -0.2, 0.5)


def shade(colour: str, amount: float) -> str:
    """Return `colour` mixed with white (amount > 0) or black (amount < 0), all in `#rrggbb`."""
    target = 255 if amount > 0 else 0
    channels = [int(colour[index : index + 2], 16) for index in (1, 3, 5)]
    mixed = [round(channel + (target - channel) * abs(amount)) for channel in channels]
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def participant_colours(organization_of: Sequence[int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the light and the dark colour of each participant, given the index of its organization."""
    seen: dict[int, int] = {}
    light, dark = [], []
    for organization in organization_of:
        rank = seen.get(organization, 0)
        seen[organization] = rank + 1
        hue, step = _HUES[organization % len(_HUES)], _SHADES[rank % len(_SHADES)]
        light.append(shade(hue, step))
        dark.append(shade(shade(hue, 0.28), step * 0.8))
    return tuple(light), tuple(dark)


def sheet(organization_of: Sequence[int]) -> str:
    """Return the whole style sheet; participant number i has the colour `var(--p{i})`."""
    light, dark = participant_colours(organization_of)
    return (
        f":root{{color-scheme:light dark;{_variables(LIGHT, light)}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{_variables(DARK, dark)}}}}}"
        f"@media print{{:root{{color-scheme:light;{_variables(LIGHT, light)}}}}}"
        f"{_BASE}{_PARTS}{_TABLES}{_FIGURES}{_MEDIA}"
    )


def _variables(names: Mapping[str, str], participants: Sequence[str]) -> str:
    named = "".join(f"--{name}:{value};" for name, value in names.items())
    classes = "".join(f"--c{index}:{value};" for index, value in enumerate(_CLASSES))
    return named + classes + "".join(f"--p{index}:{value};" for index, value in enumerate(participants))


_BASE = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--ink);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Liberation Sans",sans-serif}
main,header,footer{max-width:1160px;margin:0 auto;padding:0 28px}
h1{font-size:2.1rem;line-height:1.15;letter-spacing:-.022em;margin:.15em 0 .3em;font-weight:680;text-wrap:balance}
h2{font-size:1.24rem;letter-spacing:-.012em;margin:0 0 .2em;font-weight:650}
h3{font-size:.98rem;margin:0 0 .1em;font-weight:640}
p{margin:.2em 0 .8em;max-width:74ch}
a{color:var(--accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
code,pre,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace;
font-size:.86em}
.muted,figcaption,.note{color:var(--muted)}
.note{font-size:.87rem}
.num{font-variant-numeric:tabular-nums}
"""

_PARTS = """
header{padding-top:44px;padding-bottom:8px}
.eyebrow{color:var(--accent);font-size:.78rem;font-weight:650;letter-spacing:.11em;text-transform:uppercase;margin:0}
.lead{max-width:80ch;text-wrap:pretty;font-size:1.06rem;color:var(--muted);margin-bottom:1.1em}
.meta{display:flex;flex-wrap:wrap;gap:6px 26px;margin:0;padding:0;list-style:none;font-size:.87rem;color:var(--muted)}
.meta b{color:var(--ink);font-weight:600}
section{margin:38px 0}
.card{background:var(--surface);border:1px solid var(--rule);border-radius:12px;padding:20px 22px}
.grid{display:grid;grid-template-columns:1fr 1fr;gap:18px}
.grid>.card,.stack>.card{min-width:0}
.stack{display:grid;gap:18px}
.verdict{display:grid;grid-template-columns:auto 1fr;gap:4px 18px;border-radius:12px;padding:20px 22px;
margin-top:26px;border:1px solid}
.verdict svg{width:40px;height:40px;grid-row:span 2;margin-top:3px}
.verdict h2{color:inherit;margin:0}
.verdict p,.verdict ul{margin:.15em 0 0;color:var(--ink);max-width:none}
.verdict ul{padding-left:1.2em}
.good{background:var(--good-ground);color:var(--good);border-color:currentcolor}
.bad{background:var(--bad-ground);color:var(--bad);border-color:currentcolor}
.warn{background:var(--warn-ground);color:var(--warn);border-color:currentcolor}
.figures{display:grid;grid-template-columns:repeat(4,1fr);gap:14px;margin-top:18px}
.figure{background:var(--surface);border:1px solid var(--rule);border-radius:12px;padding:15px 18px 13px;min-width:0}
.figure .label{font-size:.82rem;color:var(--muted)}
.figure .value{font-size:1.72rem;font-weight:650;letter-spacing:-.025em;line-height:1.25;
font-variant-numeric:tabular-nums;white-space:nowrap}
.figure .detail{font-size:.82rem;color:var(--muted)}
.figure .value small{font-size:.58em;font-weight:600;letter-spacing:0;color:var(--muted)}
.counts{display:grid;grid-template-columns:repeat(auto-fill,minmax(158px,1fr));gap:1px;margin:14px 0 0;padding:0;
list-style:none;background:var(--rule);border:1px solid var(--rule);border-radius:10px;overflow:hidden}
.counts li{background:var(--surface);padding:9px 14px;font-size:.84rem;color:var(--muted)}
.counts b{display:block;font-size:1.12rem;color:var(--ink);font-weight:640;font-variant-numeric:tabular-nums}
pre{background:var(--raised);border:1px solid var(--rule);border-radius:9px;padding:13px 16px;margin:.5em 0;
overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere}
footer p{max-width:none}
footer{padding-top:6px;padding-bottom:52px;color:var(--muted);font-size:.85rem}
dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:5px 22px;margin:.4em 0 0;font-size:.9rem}
dl.facts dt{color:var(--muted)}
dl.facts dd{margin:0;overflow-wrap:anywhere}
"""

_TABLES = """
.scroll{overflow-x:auto;margin:12px -22px -20px;padding:0 22px 18px}
table{border-collapse:collapse;width:100%;font-size:.87rem;font-variant-numeric:tabular-nums}
th,td{padding:7px 12px 7px 0;text-align:left;border-bottom:1px solid var(--rule);white-space:nowrap;
vertical-align:middle;unicode-bidi:isolate}
thead th{color:var(--muted);font-weight:600;font-size:.8rem;border-bottom-width:2px}
tbody th{font-weight:600}
th:first-child{position:sticky;left:-22px;background:var(--surface);z-index:1;padding-left:22px}
table{margin-left:-22px;width:calc(100% + 22px)}
tbody tr:last-child>*{border-bottom:0}
tfoot td,tfoot th{border-top:2px solid var(--rule);border-bottom:0;font-weight:640}
.right{text-align:right}
td.heat{text-align:right;padding:7px 9px;position:relative}
td.heat>span{position:relative}
td.heat::before{content:"";position:absolute;inset:1px;border-radius:4px;background:var(--accent);opacity:var(--heat)}
.dot{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:8px;vertical-align:baseline}
.tag{display:inline-block;border-radius:5px;padding:0 7px;font-size:.78rem;font-weight:600;border:1px solid}
details{margin-top:14px}
summary{cursor:pointer;color:var(--accent);font-size:.88rem;font-weight:600}
details table{margin-top:8px}
details td,details th{white-space:normal;overflow-wrap:anywhere}
"""

_FIGURES = """
figure{margin:0}
figcaption{font-size:.87rem;margin-bottom:10px}
figcaption h2{color:var(--ink)}
figure svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font-family:inherit;font-size:11.5px;fill:var(--muted);font-variant-numeric:tabular-nums}
svg .strong{fill:var(--ink);font-weight:640}
svg .grid-line{stroke:var(--grid);stroke-width:1}
svg .axis-line{stroke:var(--rule);stroke-width:1}
svg .series{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
svg .main{stroke-width:2.8}
svg .reference{stroke-width:1.6;stroke-dasharray:6 5;fill:none}
svg .gap{stroke:var(--surface);stroke-width:1}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;list-style:none;margin:12px 0 0;padding:0;font-size:.82rem;
color:var(--muted)}
"""

_MEDIA = """
@media (max-width:900px){.grid{grid-template-columns:1fr}.figures{grid-template-columns:1fr 1fr}
main,header,footer p{max-width:none}
footer{padding-left:16px;padding-right:16px}h1{font-size:1.6rem}
.wide{overflow-x:auto}.wide svg{min-width:720px}.scroll{margin-left:-22px}}
@media (max-width:480px){.figures{grid-template-columns:1fr}}
@media print{body{font-size:11.5px}section,.card,figure{break-inside:avoid}.scroll{overflow:visible}}
"""
