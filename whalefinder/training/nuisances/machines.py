"""Sounds of parts that turn or rub: bearings, winches, vehicles, thrusters, propellers, outboards, generators, pumps.

Squeaks of metal have harmonics and change their frequency, as calls do. Two properties differ. First, squeaks repeat:
the same part rubs at the same place of each turn. So `metal_squeaks` gives at least two squeaks in any 3 s, at nearly
regular times, and each changes its frequency like the one before. Second, a squeak has one voice: it has no second tone
that moves independently, and no pulse rate that jumps within it. Nobody can distinguish a single squeak from a call
with one voice. Only the sound around it decides.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from whalefinder.sea.signals import (
    Floats,
    harmonics,
    log_uniform,
    phase_of,
    random_gains,
    resonate,
    shaped_noise,
    smooth_curve,
    taper,
)
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.nuisances.parts import (
    SAMPLES,
    SECONDS,
    T,
    band_noise,
    even_times,
    placed,
    slow_level,
    strikes,
)


def wandering_whine(rng: np.random.Generator) -> Floats:
    """The whine of a propeller or turbine: harmonics that change slowly with its speed, all the time. → `[time]`."""
    hz = log_uniform(rng, 300, 9000) * 2 ** (rng.uniform(0.005, 0.12) * smooth_curve(rng, SAMPLES, 3))
    if rng.random() < 0.4:  # the boat passes: the Doppler shift falls along an S
        at, width = rng.uniform(0, SECONDS), rng.uniform(0.5, 3.0)
        hz = hz * (1 - rng.uniform(0.003, 0.02) * np.tanh((np.arange(SAMPLES) / RATE_HZ - at) / width))
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    decay_db = rng.uniform(3, 12)
    sound = sum(10 ** (-decay_db * k / 20) * np.sin((k + 1) * phase) for k in range(int(rng.integers(1, 6))))
    if rng.random() < 0.5:
        beat = 2 * np.pi * rng.uniform(2, 60) * np.arange(SAMPLES) / RATE_HZ
        sound = sound * (1 + rng.uniform(0, 0.9) * np.cos(beat))
    return sound * slow_level(rng, rng.uniform(0, 5))


def beating_noise(rng: np.random.Generator) -> Floats:
    """Noise in a band whose level changes regularly, 1-60 times per second: propeller blades or a pump. → `[time]`."""
    beat = 2 * np.pi * log_uniform(rng, 1, 60) * np.arange(SAMPLES) / RATE_HZ
    depth = (1 + np.cos(beat + rng.uniform(0, 1) * np.sin(beat))) / 2
    return band_noise(rng, SAMPLES) * depth ** log_uniform(rng, 0.5, 8)


def squeaks(rng: np.random.Generator) -> Floats:
    """A fender or bearing that rubs: the same short creak is repeated at regular times. → `[time]`."""
    length = int(rng.uniform(0.03, 0.15) * RATE_HZ)
    hz = log_uniform(rng, 300, 4000) * (1 + rng.uniform(-0.1, 0.1) * np.linspace(0, 1, length))
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    creak = sum(rng.uniform(0.2, 1) / k * np.sin(k * phase) for k in (1, 2, 3, 4)) * taper(length, 0.01)
    creak = creak + rng.uniform(0, 0.5) * rng.standard_normal(length) * taper(length, 0.01)
    step = max(rng.uniform(0.2, 0.9), 1.6 * length / RATE_HZ)
    times = np.arange(rng.uniform(0, step), SECONDS, step)
    return placed(rng, [creak] * len(times), times + rng.normal(0, 0.005, len(times)).clip(-0.02, 0.02))


def metal_squeaks(rng: np.random.Generator) -> Floats:
    """A mooring, hinge or rudder that squeaks: harmonics that change their frequency like calls. → `[time]`.

    A squeak has 3-16 harmonics of 0.15-2.5 kHz and lasts 0.1-1.4 s. Squeaks follow each other every 0.3-1.5 s; the
    standard deviation of this time is 1-8 %. The frequency changes by about 1-15 %. The structure around the part
    resonates at one to three fixed frequencies and amplifies the harmonics near them.
    """
    length_s = log_uniform(rng, 0.1, 1.4)
    step = max(rng.uniform(0.3, 1.5), length_s + 0.1)
    length = int(length_s * RATE_HZ)
    base = log_uniform(rng, 150, 2500)
    bend = 1 + rng.uniform(0.01, 0.15) * smooth_curve(rng, length, int(rng.integers(1, 4))) / 1.5
    gains = random_gains(rng, int(rng.integers(3, 17)), rng.uniform(0.3, 4), 4.0)
    level = taper(length, rng.uniform(0.005, 0.2) * length_s) * 10 ** (
        rng.uniform(0, 4) * smooth_curve(rng, length, 3) / 20
    )
    rough = rng.uniform(0, 0.5)  # stick and slip: the parts do not rub evenly
    times = even_times(rng, step, rng.uniform(0.01, 0.08))
    spread = rng.uniform(0.003, 0.03)
    units = []
    for _ in times:
        grain = 1 + rough * smooth_curve(rng, length, max(2, int(60 * length_s)))
        units.append(harmonics(base * bend * (1 + rng.normal(0, spread)), gains) * level * grain)
    sound = placed(rng, units, times, spread_db=1.5)
    bodies = np.array([log_uniform(rng, 500, 8000) for _ in range(int(rng.integers(1, 4)))])
    body = resonate(sound, bodies, rng.uniform(0.0005, 0.003, len(bodies)), np.ones(len(bodies)))
    return sound / sound.std() + rng.uniform(0.3, 2) * body / body.std()


def winch(rng: np.random.Generator) -> Floats:
    """A winch that starts, hauls and stops. → `[time]`.

    The motor makes 5-40 turns per second. Its gear wheel has 11-47 teeth, which give the frequency of the whine. The
    pawl of the drum clicks once in 1-4 turns. So the ratios of these rates stay whole numbers while the speed changes.
    """
    begin, end = rng.uniform(0, 1.0), rng.uniform(2.5, SECONDS)
    ramp = rng.uniform(0.1, 1.2)
    speed = np.clip(np.minimum((T - begin) / ramp, (end - T) / ramp), 0, 1) ** rng.uniform(0.4, 1)
    turns = np.maximum(log_uniform(rng, 5, 40) * speed * (1 + 0.01 * smooth_curve(rng, SAMPLES, 12)), 0.05)
    on = np.clip(speed * 5, 0, 1)
    mesh = harmonics(turns * int(rng.integers(11, 48)), random_gains(rng, int(rng.integers(2, 12)), rng.uniform(1, 5)))
    mesh *= 1 + rng.uniform(0, 0.8) * np.sin(phase_of(turns))
    clicks = np.diff(np.floor(np.cumsum(turns / int(rng.integers(1, 5))) / RATE_HZ), prepend=0.0)
    modes = np.array([log_uniform(rng, 500, 7000) for _ in range(5)])
    pawl = resonate(clicks * on, modes, np.full(5, log_uniform(rng, 0.003, 0.03)), rng.uniform(0.2, 1, 5))
    motor = shaped_noise(rng, SAMPLES, np.array([50.0, 400, 2000, 20_000]), np.array([-6.0, 0, -10, -30]))
    return on * (mesh / mesh.std() + rng.uniform(0, 0.6) * motor / motor.std()) + rng.uniform(0, 3) * pawl / pawl.std()


def rov(rng: np.random.Generator) -> Floats:
    """A remotely operated vehicle: fixed tones of its electronics, and thrusters whose speed jumps. → `[time]`."""
    sound = np.zeros(SAMPLES)
    for _ in range(int(rng.integers(1, 4))):
        steady = np.full(SAMPLES, log_uniform(rng, 1500, 9000))
        sound += rng.uniform(0.1, 1) * harmonics(steady, random_gains(rng, 2, 12.0))
    for _ in range(int(rng.integers(1, 4))):
        jumps = np.sort(rng.uniform(0, SECONDS, int(rng.integers(1, 6))))
        speeds = rng.uniform(0.3, 1, len(jumps) + 1)[np.searchsorted(jumps, T)]
        lag = np.exp(-1 / (rng.uniform(0.03, 0.3) * RATE_HZ))
        speeds = signal.lfilter([1 - lag], [1, -lag], speeds, zi=[lag * speeds[0]])[0]
        whine = harmonics(log_uniform(rng, 200, 1500) * speeds, random_gains(rng, 6, rng.uniform(2, 6)))
        noise = band_noise(rng, SAMPLES)
        sound += whine * speeds**2 + rng.uniform(0.1, 1) * noise / noise.std() * speeds**3
    return sound


def thruster(rng: np.random.Generator) -> Floats:
    """A bow thruster that starts and stops: noise of bubbles (cavitation) and the whine of its gear. → `[time]`.

    The level of the noise changes with each blade, 8-40 times per second.
    """
    begin, end = rng.uniform(-1, 1.5), rng.uniform(2, 5)
    on = np.clip(np.minimum((T - begin) / rng.uniform(0.05, 0.5), (end - T) / rng.uniform(0.05, 0.8)), 0, 1)
    blades = log_uniform(rng, 8, 40) * (0.6 + 0.4 * on)
    beat = 1 + rng.uniform(0.1, 0.9) * np.sin(phase_of(blades)) + rng.uniform(0, 0.4) * np.sin(phase_of(2 * blades))
    peak = log_uniform(rng, 100, 1500)
    hz = peak * np.array([0.1, 0.4, 1, 3, 10, 40])
    noise = shaped_noise(rng, SAMPLES, hz, np.array([-25.0, -6, 0, -8, -20, -38]))
    gear = harmonics(log_uniform(rng, 300, 1500) * (0.6 + 0.4 * on), random_gains(rng, 6, rng.uniform(2, 8)))
    return on**2 * (noise / noise.std() * beat + rng.uniform(0, 0.8) * gear / gear.std())


def singing_propeller(rng: np.random.Generator) -> Floats:
    """A propeller that sings: eddies at the edges of the blades have the frequency of a mode of the blade. → `[time]`.

    The frequency of the eddies is 0.2 · speed / thickness (Strouhal; Ross 1976, Mechanics of Underwater Noise, section
    9.6). Here it is 0.2-4 kHz and changes by about 1 % or less, as at a constant speed of the ship. The level rises
    with each blade, 2-20 times per second. The tone may start and stop.
    """
    sound = np.zeros(SAMPLES)
    blades = log_uniform(rng, 2, 20)
    for _ in range(int(rng.integers(1, 4))):
        hz = log_uniform(rng, 200, 4000) * (1 + rng.uniform(0, 0.006) * smooth_curve(rng, SAMPLES, 30))
        tone = harmonics(hz, random_gains(rng, int(rng.integers(1, 5)), rng.uniform(6, 15)))
        swell = np.clip(np.cos(2 * np.pi * blades * T + rng.uniform(0, 6)) * rng.uniform(0, 1) + 0.6, 0, None)
        begin, end = rng.uniform(-2, 2), rng.uniform(2.2, 6)
        on = np.clip(np.minimum((T - begin) / 0.1, (end - T) / 0.1), 0, 1)
        sound += rng.uniform(0.2, 1) * tone * swell * on
    return sound


def outboard(rng: np.random.Generator) -> Floats:
    """An outboard or water scooter: harmonics that follow the changing speed of the engine. → `[time]`.

    The engine makes 12-95 turns per second, and its cylinders fire 1-3 times in each turn. After Erbe 2013 (Mar.
    Pollut. Bull. 70: 21). When the gear is shifted, the speed jumps.
    """
    turns = log_uniform(rng, 20, 60) * 2 ** (
        rng.uniform(0.1, 0.9) * smooth_curve(rng, SAMPLES, int(rng.integers(2, 9)))
    )
    for _ in range(int(rng.integers(0, 3))):
        at, drop = rng.uniform(0.3, 3.5), rng.uniform(-0.8, 0.8)
        turns = turns * 2 ** (drop / (1 + np.exp(np.clip(-(T - at) / 0.03, -50, 50))))
    turns = np.clip(turns, 12, 95)
    fires = turns * rng.choice([1.0, 1.5, 2.0, 3.0])
    gains = random_gains(rng, int(rng.integers(25, 90)), rng.uniform(0.1, 0.6), 4.0)
    exhaust = harmonics(fires, gains) * (turns / 40)
    beat = 1 + rng.uniform(0.2, 0.9) * np.sin(phase_of(turns / rng.uniform(1.8, 2.5) * 3))
    noise = shaped_noise(rng, SAMPLES, np.array([50.0, 500, 3000, 20_000]), np.array([-12.0, 0, -3, -18]))
    return exhaust / exhaust.std() + rng.uniform(0.1, 1.5) * noise / noise.std() * beat * (turns / 40) ** 1.5


def generator(rng: np.random.Generator) -> Floats:
    """A diesel generator with 25 or 30 turns per second, which excites the modes of the hull. → `[time]`.

    Its steady tones are the multiples of half the rate of turns, because a cylinder fires once in two turns.
    """
    hz = rng.choice([25.0, 30.0]) / 2 * (1 + 0.002 * smooth_curve(rng, SAMPLES, 4))
    comb = harmonics(hz, random_gains(rng, int(rng.integers(60, 160)), rng.uniform(0.02, 0.25), 5.0))
    modes = np.array([log_uniform(rng, 100, 4000) for _ in range(6)])
    hull = resonate(comb, modes, rng.uniform(0.002, 0.02, 6), rng.uniform(0.1, 1, 6))
    return comb / comb.std() + rng.uniform(0.5, 3) * hull / hull.std()


def ship_fringes(rng: np.random.Generator) -> Floats:
    """Noise of a ship that passes, and its reflection by the surface (Lloyd's mirror). → `[time]`.

    The reflection comes later by 2 · (depth of the ship) · (depth of the hydrophone) / (range · c), and with the
    opposite sign. So the noise vanishes near the multiples of 1 / delay (Carey 2009, J. Acoust. Soc. Am. 125: 1396).
    Here the delay is about 0.1-3 ms. It changes as the ship moves.
    """
    delay = log_uniform(rng, 0.0001, 0.003) * 2 ** (rng.uniform(0.05, 0.8) * smooth_curve(rng, SAMPLES, 2))
    peak = log_uniform(rng, 100, 1500)
    hz = peak * np.array([0.1, 1, 4, 16, 100])
    noise = shaped_noise(rng, SAMPLES, hz, np.array([-20.0, 0, -rng.uniform(4, 12), -rng.uniform(10, 25), -45]))
    beat = 1 + rng.uniform(0, 0.6) * np.sin(2 * np.pi * log_uniform(rng, 1, 20) * T)
    return mirrored(noise * beat, delay, rng.uniform(0.5, 0.98))


def mirrored(sound: Floats, delay_s: Floats, reflection: float) -> Floats:
    """The sound minus `reflection` times the same sound `delay_s` (`[time]`) later. `[time]` → `[time]`."""
    t = np.arange(len(sound)) / RATE_HZ
    return sound - reflection * np.interp(t - delay_s, t, sound)


def pump(rng: np.random.Generator) -> Floats:
    """A bilge pump or compressor that runs at regular times: hum, noise and a knock at each start. → `[time]`."""
    step = rng.uniform(0.4, 3.0)
    part = (T + rng.uniform(0, step)) % step / step
    on = np.clip(np.minimum(part, rng.uniform(0.2, 0.8) - part) * step / rng.uniform(0.01, 0.15), 0, 1)
    hum = harmonics(log_uniform(rng, 30, 400) * (0.8 + 0.2 * on), random_gains(rng, 30, rng.uniform(0.3, 1.5)))
    noise = band_noise(rng, SAMPLES)
    starts = np.flatnonzero((on[1:] > 0) & (on[:-1] == 0)) / RATE_HZ
    modes = np.array([log_uniform(rng, 100, 5000) for _ in range(5)])
    knock = resonate(strikes(rng, starts, 0.0005), modes, np.full(5, 0.02), np.ones(5))
    knock /= max(np.abs(knock).max(), 1e-9)
    return on * (hum / hum.std() + rng.uniform(0.2, 2) * noise / noise.std()) + rng.uniform(0, 6) * knock


KINDS = (
    wandering_whine, beating_noise, squeaks, metal_squeaks, winch, rov, thruster, singing_propeller, outboard, generator,
    ship_fringes, pump,
)  # fmt: skip
