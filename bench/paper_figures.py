"""`python -m bench.paper_figures` draws figures 1 to 3 of the examination paper from objects of the program.

1. Azimuth and elevation: every line is computed by `direction`.
2. The LSTM cell, with the values of a real step of `LSTMCell`.
3. The segmentation network, with layers and shapes of a real pass through `SegmentationNetwork`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from whalefinder.array.geometry import direction, tangents
from whalefinder.networks.lstm import LSTMCell, Step
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.training.losses import azimuth_label, elevation_label

OUT = Path(__file__).parent.parent / "docs" / "paper"
DOTS_PER_INCH = 130
INK, BLUE, ORANGE, GREEN, GREY, WATER = "#22313f", "#0b6e99", "#e8590c", "#5a8f3c", "#8a97a6", "#d9ecf5"
Floats = NDArray[np.float64]


# --- figure 1 ---------------------------------------------------------------------------------------------------------

WHALE_DEG = (60.0, -35.0)
"""Azimuth and elevation of the whale in the figure."""
CAMERA_DEG = (160.0, 24.0)


def seen(points: ArrayLike) -> Floats:
    """Project points (east, north, up) for the camera, without perspective.

    Shape:
        `[..., 3]` → `[..., 2]`, right and up
    """
    # As seen by the camera, azimuth grows to the left.
    left, up = tangents(direction(*np.radians(CAMERA_DEG)))
    return np.asarray(points) @ np.stack([-left, up], axis=-1)


def path(azimuth_deg: ArrayLike, elevation_deg: ArrayLike, radius: float = 1.0) -> Floats:
    """Points `[point, 3]` on a sphere of a radius, from directions in degrees."""
    azimuth, elevation = np.broadcast_arrays(np.radians(azimuth_deg), np.radians(elevation_deg))
    return radius * direction(azimuth, elevation)


def draw_angles(out: Path) -> None:
    """Draw figure 1: azimuth and elevation in space, from above, and from the side."""
    figure = Figure(figsize=(12, 5.8), layout="constrained")
    space, above, side = (figure.add_subplot(figure.add_gridspec(2, 5)[part]) for part in (
        np.s_[:, :3], np.s_[0, 3:], np.s_[1, 3:],
    ))  # fmt: skip
    _draw_space(space)
    _draw_above(above)
    _draw_side(side)
    for axis in (space, above, side):
        axis.set_aspect("equal")
        axis.axis("off")
    _save(figure, out)


def _draw_space(axis: Axes) -> None:
    round_, down = np.linspace(0, 360, 181), np.linspace(0, -90, 46)
    axis.fill(*seen(path(round_, 0)).T, color=WATER, zorder=0)
    for elevation in (-30, -60):
        axis.plot(*seen(path(round_, elevation)).T, color=GREY, linewidth=0.6, alpha=0.5)
    for azimuth in range(0, 360, 30):
        axis.plot(*seen(path(azimuth, down)).T, color=GREY, linewidth=0.6, alpha=0.5)
    axis.plot(*seen(path(round_, 0)).T, color=BLUE, linewidth=1.6)
    for name, azimuth in (("north 0°", 0), ("east 90°", 90), ("south 180°", 180), ("west 270°", 270)):
        _ray(axis, path(azimuth, 0), GREY, 0.8)
        _text(axis, path(azimuth, 0, 1.16), name, INK)
    azimuth, elevation = WHALE_DEG
    arc = np.linspace(0, 1, 60)
    foot, whale = path(azimuth, 0), path(azimuth, elevation)
    axis.fill(*seen(np.vstack([path(azimuth, elevation * arc), [[0, 0, 0]]])).T, color=GREEN, alpha=0.16)
    axis.fill(*seen(np.vstack([path(azimuth * arc, 0, 0.5), [[0, 0, 0]]])).T, color=ORANGE, alpha=0.2)
    axis.plot(*seen(np.stack([np.zeros(3), foot])).T, color=INK, linewidth=1, linestyle="--")
    axis.plot(*seen(path(azimuth * arc, 0, 0.5)).T, color=ORANGE, linewidth=2.4)
    axis.plot(*seen(path(azimuth, elevation * arc, 0.75)).T, color=GREEN, linewidth=2.4)
    _ray(axis, whale, INK, 2.2)
    axis.plot(*seen(whale), "o", color=INK, markersize=11)
    axis.plot(0, 0, "s", color=BLUE, markersize=9)
    _text(axis, path(azimuth / 2, 0, 0.68), f"azimuth {azimuth:g}°", ORANGE, weight="bold")
    _text(
        axis,
        path(azimuth + 5, elevation / 2, 1.08),
        f"elevation {elevation:g}°".replace("-", "−"),
        GREEN,
        weight="bold",
    )
    _text(axis, path(azimuth, elevation, 1.16), "William", INK, weight="bold")
    _text(axis, [0, 0, 0.13], "array", BLUE, weight="bold")
    axis.set_title("u = (cos el · sin az, cos el · cos az, sin el)", fontsize="medium", color=INK)


def _ray(axis: Axes, point: ArrayLike, colour: str, width: float) -> None:
    axis.annotate("", seen(point), (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": width})


def _text(axis: Axes, point: ArrayLike, words: str, colour: str, **style: str) -> None:
    backing = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.0}
    axis.text(*seen(point), words, color=colour, bbox=backing, **{"ha": "center", "va": "center", **style})


def _draw_above(axis: Axes) -> None:
    """Draw the view from above, east to the right and north up, with labels."""
    axis.fill(*path(np.linspace(0, 360, 181), 0).T[:2], color=WATER)
    for azimuth in (0, 90, 180, 270):
        axis.plot(*path(azimuth, 0, 0.93).T[:2, None], ".", color=GREY)
        label = f"{azimuth}°: {azimuth_label(float(azimuth)):g}" + (" = 1" if azimuth == 0 else "")
        axis.text(
            *path(azimuth, 0, 1.18)[:2],
            label,
            ha={90: "left", 270: "right"}.get(azimuth, "center"),
            va="center",
            color=INK,
        )
    azimuth = WHALE_DEG[0]
    axis.plot(*path(np.linspace(0, azimuth, 60), 0, 0.5).T[:2], color=ORANGE, linewidth=2.4)
    axis.annotate("", path(azimuth, 0)[:2], (0, 0), arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.8})
    axis.text(
        *path(azimuth, 0, 1.1)[:2],
        f"{azimuth:g}°: {azimuth_label(azimuth):.3f}",
        color=ORANGE,
        weight="bold",
        va="center",
    )
    axis.plot(0, 0, "s", color=BLUE)
    axis.set(xlim=(-2.4, 2.4), ylim=(-1.6, 1.35))
    axis.set_title("from above: label = azimuth / 360°", fontsize="medium", color=INK)


def _draw_side(axis: Axes) -> None:
    """Draw the vertical plane through array and whale."""
    side = lambda elevation, radius=1.0: path(0, elevation, radius)[..., 1:]  # noqa: E731
    axis.fill_between([-0.25, 1.7], -1.15, 0, color=WATER, linewidth=0)
    axis.fill(
        *np.vstack([side(np.linspace(0, 60, 40), 0.8), [[0, 0]]]).T, color=ORANGE, alpha=0.15, hatch="//", linewidth=0
    )
    axis.text(0.85, 0.42, "never: costs extra", color=ORANGE, ha="left", va="center")
    axis.plot([-0.25, 1.7], [0, 0], color=BLUE, linewidth=1.6)
    for elevation in (0, -90):
        place = side(elevation, 1.06)
        words = f"{elevation}°: {elevation_label(float(elevation)):g}".replace("-", "−")
        axis.text(place[0] + 0.03, place[1] + (0.11 if elevation == 0 else 0), words, color=INK, va="center")
    elevation = WHALE_DEG[1]
    axis.plot(*side(np.linspace(0, elevation, 60), 0.5).T, color=GREEN, linewidth=2.4)
    axis.annotate("", side(elevation), (0, 0), arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.8})
    words = f"{elevation:g}°: {elevation_label(elevation):.3f}".replace("-", "−")
    axis.text(*(side(elevation, 1.06)), words, color=GREEN, weight="bold", va="center")
    axis.plot(0, 0, "s", color=BLUE)
    axis.text(-0.28, 0.0, "surface", color=BLUE, va="center", ha="right")
    axis.set(xlim=(-1.5, 2.9), ylim=(-1.25, 0.85))
    axis.set_title("from the side: label = (elevation + 90°) / 180°", fontsize="medium", color=INK)


# --- figure 2 ---------------------------------------------------------------------------------------------------------


def worked_step() -> tuple[LSTMCell, Step, dict[str, Tensor]]:
    """A step with one unit, one input and round weights, which can be checked by hand. → cell, step, its inputs."""
    cell = LSTMCell(1, 1).double()
    with torch.no_grad():
        for weight, values in zip(cell.weights, ((0.5, 1.0), (-0.4, 1.2), (0.9, 0.7), (0.3, -0.6)), strict=True):
            weight.copy_(torch.tensor([values]))
    given = {
        name: torch.tensor([[value]], dtype=torch.float64) for name, value in (("x", 0.8), ("h", -0.2), ("c", 0.5))
    }
    with torch.no_grad():
        return cell, cell.step(given["x"], given["h"], given["c"]), given


def draw_cell(out: Path) -> None:
    """Draw figure 2: the cell with the values of `worked_step` on its lines."""
    cell, step, given = worked_step()
    value = {name: float(tensor) for name, tensor in vars(step).items() if tensor.numel() == 1}
    value |= {name: float(tensor) for name, tensor in given.items()}
    figure = Figure(figsize=(12, 6.8), layout="constrained")
    axis = figure.subplots()
    axis.add_patch(
        FancyBboxPatch((1.5, 0.7), 9.2, 5.65, boxstyle="round,pad=0.1,rounding_size=0.3", fc="#f6f9fb", ec=GREY)
    )
    _draw_gates(axis, cell, value)
    _draw_states(axis, value)
    axis.set(xlim=(0, 12.6), ylim=(-0.3, 7.2), aspect="equal")
    axis.axis("off")
    _save(figure, out)


GATES = (("f", "σ", 3.0), ("i", "σ", 4.7), ("candidate", "tanh", 6.1), ("o", "σ", 8.2))
"""Name in `Step`, activation, and place in the figure, in the order of W₁ to W₄."""
SIGNS = {"f": "f", "i": "i", "candidate": "c̃", "o": "o", "a": "a", "e": "e", "d": "d", "y": "ŷ"}
TOP, BOTTOM, GATE, MEETING = 5.2, 1.15, 2.2, 3.85


def _draw_gates(axis: Axes, cell: LSTMCell, value: dict[str, float]) -> None:
    _line(axis, (0.9, BOTTOM), (GATES[-1][2], BOTTOM), arrow=False)
    _line(axis, (1.8, -0.05), (1.8, BOTTOM), arrow=False)
    _value(axis, (0.85, BOTTOM), "hₜ₋₁", value["h"], ha="right")
    _value(axis, (1.7, 0.0), "xₜ", value["x"], ha="right")
    axis.text(1.85, BOTTOM + 0.12, "b = (hₜ₋₁, xₜ)", color=INK, fontsize=11, va="bottom")
    for number, ((name, activation, x), weight) in enumerate(zip(GATES, cell.weights, strict=True), 1):
        _line(axis, (x, BOTTOM), (x, GATE - 0.28))
        colour = GREEN if activation == "tanh" else BLUE
        box = FancyBboxPatch((x - 0.42, GATE - 0.25), 0.84, 0.5, boxstyle="round,pad=0.03", fc=colour, ec="none")
        axis.add_patch(box)
        axis.text(x, GATE, activation, color="white", ha="center", va="center", fontsize=14, weight="bold")
        numbers = ", ".join(f"{float(w):g}".replace("-", "−") for w in weight.detach()[0])
        axis.text(
            x + 0.08,
            BOTTOM - 0.08,
            f"W{'₁₂₃₄'[number - 1]} = ({numbers})",
            color=GREY,
            fontsize=9.5,
            ha="center",
            va="top",
        )
        _value(axis, (x + 0.08, GATE + 0.5), SIGNS[name], value[name])


def _draw_states(axis: Axes, value: dict[str, float]) -> None:
    forget, add, out = (GATES[0][2], TOP), (GATES[1][2], TOP), (GATES[3][2], MEETING)
    times = (GATES[1][2], MEETING)
    _line(axis, (0.9, TOP), (forget[0] - 0.24, TOP))
    _value(axis, (0.85, TOP), "cₜ₋₁", value["c"], ha="right")
    _line(axis, (GATES[0][2], GATE + 0.28), (forget[0], TOP - 0.24))
    _line(axis, (GATES[1][2], GATE + 0.28), (times[0], MEETING - 0.24))
    _line(axis, (GATES[2][2], GATE + 0.28), (GATES[2][2], MEETING), arrow=False)
    _line(axis, (GATES[2][2], MEETING), (times[0] + 0.24, MEETING))
    _line(axis, (times[0], MEETING + 0.24), (add[0], TOP - 0.24))
    _value(axis, (times[0] + 0.08, MEETING + 0.62), "i · c̃", value["i"] * value["candidate"])
    _line(axis, (forget[0] + 0.24, TOP), (add[0] - 0.24, TOP))
    _value(axis, ((forget[0] + add[0]) / 2 - 0.05, TOP + 0.3), "f · cₜ₋₁", value["f"] * value["c"], ha="center")
    _line(axis, (add[0] + 0.24, TOP), (11.3, TOP))
    _value(axis, (6.6, TOP + 0.3), "a", value["a"], ha="center")
    _value(axis, (11.4, TOP), "cₜ = a", value["a"])
    _line(axis, (out[0], TOP), (out[0], 4.92), arrow=False)
    axis.add_patch(FancyBboxPatch((out[0] - 0.42, 4.5), 0.84, 0.42, boxstyle="round,pad=0.03", fc=GREEN, ec="none"))
    axis.text(out[0], 4.71, "tanh", color="white", ha="center", va="center", fontsize=14, weight="bold")
    _line(axis, (out[0], 4.46), (out[0], MEETING + 0.24))
    _value(axis, (out[0] + 0.1, 4.25), "e", value["e"])
    _line(axis, (out[0], GATE + 0.28), (out[0], MEETING - 0.24))
    _line(axis, (out[0] + 0.24, MEETING), (11.3, MEETING))
    _value(axis, (9.05, MEETING - 0.24), "d", value["d"], ha="center")
    _value(axis, (11.4, MEETING), "hₜ = d", value["d"])
    _line(axis, (9.9, MEETING), (9.9, 5.55), arrow=False)
    axis.add_patch(FancyBboxPatch((9.48, 5.55), 0.84, 0.42, boxstyle="round,pad=0.03", fc=BLUE, ec="none"))
    axis.text(9.9, 5.76, "σ", color="white", ha="center", va="center", fontsize=14, weight="bold")
    _line(axis, (9.9, 6.0), (9.9, 6.8))
    _value(axis, (9.9, 6.98), "ŷₜ", value["y"], ha="center")
    for branch in ((1.8, BOTTOM), (out[0], TOP), (9.9, MEETING), *((x, BOTTOM) for _, _, x in GATES[:-1])):
        axis.plot(*branch, "o", color=INK, markersize=4)
    for place, sign in ((forget, "×"), (add, "+"), (times, "×"), (out, "×")):
        axis.add_patch(Circle(place, 0.24, fc="white", ec=INK, linewidth=1.4, zorder=3))
        axis.text(*place, sign, ha="center", va="center", fontsize=15, color=INK, zorder=4)


def _line(axis: Axes, begin: tuple[float, float], end: tuple[float, float], *, arrow: bool = True) -> None:
    style = "-|>,head_length=5,head_width=3" if arrow else "-"
    axis.add_patch(FancyArrowPatch(begin, end, arrowstyle=style, color=INK, linewidth=1.4, shrinkA=0, shrinkB=0))


def _value(axis: Axes, at: tuple[float, float], name: str, value: float, ha: str = "left") -> None:
    words = f"{name} = " + f"{value:.3f}".replace("-", "−")
    axis.text(*at, words, color=ORANGE, ha=ha, va="center", fontsize=11.5, weight="bold")


# --- figure 3 ---------------------------------------------------------------------------------------------------------


def layers_seen(network: SegmentationNetwork, image: Tensor) -> list[tuple[str, nn.Module, tuple[int, ...], bool]]:
    """The layers of a pass of `image`: name, module, shape of the output, and whether a ReLU follows."""
    modules = {f"conv{letter}": getattr(network, f"conv{letter}") for letter in "ABCDEF"} | {
        "upsample": network.upsample
    }
    shapes: dict[str, tuple[int, ...]] = {}
    lowest: list[float] = []
    for name, module in modules.items():
        # The input of a layer is never below 0 if and only if there is a ReLU before it.
        module.register_forward_pre_hook(lambda _, given: lowest.append(float(given[0].min())))
        module.register_forward_hook(lambda _, given, result, name=name: shapes.update({name: tuple(result.shape[1:])}))
    with torch.no_grad():
        network(image)
    follows = [low >= 0 for low in lowest[1:]] + [False]
    return [(name, module, shapes[name], relu) for (name, module), relu in zip(modules.items(), follows, strict=True)]


def draw_network(out: Path) -> None:
    """Draw figure 3: the output of every layer as a block, whose thickness is the number of channels."""
    torch.manual_seed(0)
    image = torch.randn(1, 3, 64, 64)
    seen_layers = layers_seen(SegmentationNetwork(3, 96, 5), image)
    figure = Figure(figsize=(13, 3.9), layout="constrained")
    axis = figure.subplots()
    x = _draw_block(axis, 0.0, tuple(image.shape[1:]), GREY, "input")
    for name, module, shape, relu in seen_layers:
        x = _draw_layer(axis, x, name, module, relu)
        x = _draw_block(axis, x, shape, GREEN if name == "upsample" else BLUE, name)
    axis.set(xlim=(-0.3, x + 0.3), ylim=(-2.75, 2.2), aspect="equal")
    axis.axis("off")
    _save(figure, out)


def _draw_block(axis: Axes, x: float, shape: tuple[int, ...], colour: str, name: str) -> float:
    """Draw a block. → where it ends."""
    channels, height, width = shape
    tall, thick, slant = 2.6 * height / 64, 0.12 + channels / 384 * 0.75, 0.55 * width / 64
    front = np.array([[0, 0], [thick, 0], [thick, tall], [0, tall]]) + [x, -tall / 2 - slant / 2]
    shift = np.array([slant, slant])
    faces = (
        front,
        [front[3], front[2], front[2] + shift, front[3] + shift],
        [front[1], front[2], front[2] + shift, front[1] + shift],
    )
    for face, shade in zip(faces, (0.85, 0.45, 0.62), strict=True):
        axis.add_patch(Polygon(face, closed=True, fc=colour, ec="white", alpha=shade, linewidth=0.8))
    centre = x + (thick + slant) / 2
    axis.text(centre, 1.78, name, ha="center", color=colour, weight="bold", fontsize=12)
    axis.text(centre, -2.05, f"{channels} channels\n{height} × {width}", ha="center", va="top", color=INK, fontsize=10)
    return x + thick + slant


def _draw_layer(axis: Axes, x: float, name: str, module: nn.Module, relu: bool) -> float:
    """Draw the arrow to the next block, with the settings of the layer. → where it ends."""
    end = x + 0.95
    axis.annotate("", (end - 0.06, 0), (x + 0.06, 0), arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.4})
    if isinstance(module, nn.Conv2d):
        size, padding, stride = module.kernel_size[0], module.padding[0], module.stride[0]
        words = f"{size} × {size}\npad {padding}\nstride {stride}"
    else:
        words = f"pixel\nshuffle\n× {module.upscale_factor}"
    axis.text((x + end) / 2, 0.12, words, ha="center", va="bottom", color=INK, fontsize=10)
    if relu:
        axis.text((x + end) / 2, -0.12, "ReLU", ha="center", va="top", color=ORANGE, fontsize=10, weight="bold")
    return end


def _save(figure: Figure, out: Path) -> None:
    # Without date and version, so that the same objects give the same file.
    figure.savefig(out, dpi=DOTS_PER_INCH, metadata={"Software": None})


def main() -> None:
    """Write the three figures into docs/paper/."""
    torch.set_num_threads(1)
    OUT.mkdir(exist_ok=True)
    for number, draw in enumerate((draw_angles, draw_cell, draw_network), 1):
        draw(OUT / f"figure-{number}.png")


if __name__ == "__main__":
    main()
