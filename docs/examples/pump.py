"""A made-up plant and its log: a pump fills a tank, a valve empties it, and somebody runs both by habit.

Writes pump-1.csv and pump-2.csv, one row a minute, into the current folder. Nothing in it is tuned to make any method
look good. The shifts differ in the level they want, a fuller tank drains faster, and a pump that runs too hot trips.
"""

from __future__ import annotations

import csv

import numpy as np

BATCHES, MINUTES = 80, 60
COLUMNS = ["batch", "minute", "s_level", "s_pressure", "s_temperature", "valve", "speed", "yield", "failed"]


def step(state: np.ndarray, valve: float, speed: float, rng: np.random.Generator) -> tuple[np.ndarray, float, bool]:
    """One minute: (level, pressure, temperature) [3] afterwards, the yield, and whether the pump tripped."""
    level, pressure, temperature = state
    outflow = 0.12 * valve * np.sqrt(level)
    level = level + 0.08 * speed * pressure - outflow
    spilled = max(level - 1.0, 0.0)
    temperature += 6.0 * speed**2 - 0.08 * (temperature - 20.0) + 0.3 * rng.standard_normal()
    pressure += 0.1 * (1.0 - pressure) + 0.03 * rng.standard_normal()
    tripped = temperature > 60.0
    earned = 10.0 * outflow - 0.3 * speed**2 - 20.0 * spilled - 5.0 * tripped
    return np.array([np.clip(level, 0.0, 1.0), pressure, temperature]), earned, bool(tripped)


def operate(level: float, wanted: float, rng: np.random.Generator) -> tuple[float, float]:
    """An operator's valve and speed, both from 0 to 1: by the level against the one wanted, with an unsteady hand."""
    valve = 0.6 + 0.8 * (level - wanted) + 0.15 * rng.standard_normal()
    speed = 0.65 - 0.8 * (level - wanted) + 0.15 * rng.standard_normal()
    return float(np.clip(valve, 0.0, 1.0)), float(np.clip(speed, 0.0, 1.0))


def record(batch: int, rng: np.random.Generator) -> list[list[float]]:
    """The rows of one batch: what was seen, what was done then, and what it earned."""
    state, rows = np.array([rng.uniform(0.2, 0.6), 1.0, 20.0]), []
    wanted = rng.uniform(0.3, 0.8)  # every shift has its own idea of a good level
    for minute in range(MINUTES):
        valve, speed = operate(state[0], wanted, rng)
        after, earned, tripped = step(state, valve, speed, rng)
        rows.append([batch, minute, *state.round(4), round(valve, 4), round(speed, 4), round(earned, 4), int(tripped)])
        if tripped:
            break
        state = after
    return rows


def main() -> None:
    """Record all batches, half of them into each file."""
    rng = np.random.default_rng(0)
    for number in (1, 2):
        with open(f"pump-{number}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for batch in range(BATCHES // 2):
                writer.writerows(record(1000 * number + batch, rng))


if __name__ == "__main__":
    main()
