"""How strong a signal arrives: path loss, signal-to-noise ratio, spectral efficiency.

All functions are scalar and compiled. Distances in metres, loss in dB, ratios linear.
"""

from __future__ import annotations

import math
from typing import Any

from metalore.world.extension import RESULTS, call_user
from metalore.world.jit import njit, njit_apart

OKUMURA_HATA, UMI, UMA = range(3)
SEEN_ALWAYS, SEEN_NEVER, SEEN_BY_CHANCE = range(3)

LEAST_DISTANCE_M = 1.0
LEAST_3GPP_DISTANCE_M = 10.0
_LIGHT_M_S = 3e8  # as TR 38.901 has it
_PER_LN10 = 1.0 / math.log(10.0)
_NEPER_PER_DB = math.log(10.0) / 10.0
PER_LN2 = 1.0 / math.log(2.0)


@njit
def okumura_hata_slope(station_height_m: Any) -> Any:
    """Loss per decade of distance in dB (Hata 1980)."""
    return 44.9 - 6.55 * math.log10(station_height_m)


@njit
def okumura_hata_at_1km(carrier_mhz: Any, station_height_m: Any, device_height_m: Any) -> Any:
    """Median loss in dB at 1 km in a small city.

    M. Hata, "Empirical formula for propagation loss in land mobile radio services", IEEE Trans. Veh. Technol. 29(3),
    1980. Valid for 150-1500 MHz, 1-20 km, station 30-200 m, device 1-10 m; used outside of it by the published work.
    """
    f = math.log10(carrier_mhz)
    correction = (1.1 * f - 0.7) * device_height_m - (1.56 * f - 0.8)
    return 69.55 + 26.16 * f - 13.82 * math.log10(station_height_m) - correction


@njit
def _log10(x: Any) -> Any:
    return math.log(x) * _PER_LN10  # several times faster than the library's log10


@njit_apart
def umi_loss_db(distance_m: Any, carrier_mhz: Any, station_height_m: Any, device_height_m: Any, seen: Any) -> Any:
    """UMi street canyon: 3GPP TR 38.901 V16.1.0 table 7.4.1-1; 0.5-100 GHz, 10 m-5 km, device 1.5-22.5 m."""
    f = _log10(carrier_mhz / 1000.0)
    d3, breakpoint_m, spread = _3gpp_distances(distance_m, carrier_mhz, station_height_m, device_height_m)
    if max(distance_m, LEAST_3GPP_DISTANCE_M) <= breakpoint_m:
        loss = 32.4 + 21.0 * _log10(d3) + 20.0 * f
    else:
        loss = 32.4 + 40.0 * _log10(d3) + 20.0 * f - 9.5 * _log10(spread)
    if seen:
        return loss
    return max(loss, 35.3 * _log10(d3) + 22.4 + 21.3 * f - 0.3 * (device_height_m - 1.5))


@njit_apart
def uma_loss_db(distance_m: Any, carrier_mhz: Any, station_height_m: Any, device_height_m: Any, seen: Any) -> Any:
    """UMa: 3GPP TR 38.901 V16.1.0 table 7.4.1-1; 0.5-100 GHz, 10 m-5 km, device 1.5-13 m."""
    f = _log10(carrier_mhz / 1000.0)
    d3, breakpoint_m, spread = _3gpp_distances(distance_m, carrier_mhz, station_height_m, device_height_m)
    if max(distance_m, LEAST_3GPP_DISTANCE_M) <= breakpoint_m:
        loss = 28.0 + 22.0 * _log10(d3) + 20.0 * f
    else:
        loss = 28.0 + 40.0 * _log10(d3) + 20.0 * f - 9.0 * _log10(spread)
    if seen:
        return loss
    return max(loss, 13.54 + 39.08 * _log10(d3) + 20.0 * f - 0.6 * (device_height_m - 1.5))


@njit
def _3gpp_distances(distance_m: Any, carrier_mhz: Any, station_height_m: Any, device_height_m: Any) -> Any:
    """Distance in space, breakpoint distance, and the square sum that the loss beyond it holds."""
    plane = max(distance_m, LEAST_3GPP_DISTANCE_M)
    rise = station_height_m - device_height_m
    d3 = math.sqrt(plane * plane + rise * rise)
    heights = max(station_height_m - 1.0, 0.0) * max(device_height_m - 1.0, 0.0)
    breakpoint_m = 4.0 * heights * carrier_mhz * 1e6 / _LIGHT_M_S
    return d3, breakpoint_m, breakpoint_m * breakpoint_m + rise * rise


@njit
def line_of_sight_probability(path_loss: Any, distance_m: Any) -> Any:
    """Chance that a device sees its station: TR 38.901 table 7.4.2-1, devices up to 13 m high."""
    if distance_m <= 18.0:
        return 1.0
    reach = 36.0 if path_loss == UMI else 63.0
    near = 18.0 / distance_m
    return near + math.exp(-distance_m / reach) * (1.0 - near)


@njit
def snr_at(setup: Any, link: Any, d2: Any, luck: Any, scratch: Any) -> Any:
    """Linear signal-to-noise ratio of a device at squared plane distance `d2` from the station of `link`."""
    if setup.path_loss == OKUMURA_HATA and setup.user_channel == 0:
        return math.exp(link.hata_intercept - link.hata_slope * math.log(max(d2, LEAST_DISTANCE_M)))
    distance = max(math.sqrt(d2), LEAST_DISTANCE_M)
    if setup.user_channel != 0:
        scratch[0], scratch[1] = distance, setup.carrier_mhz
        scratch[2], scratch[3], scratch[4] = link.station_height, link.device_height, luck
        call_user(setup.user_channel, scratch)
        loss = scratch[RESULTS]
    else:
        seen = setup.line_of_sight == SEEN_ALWAYS or (
            setup.line_of_sight == SEEN_BY_CHANCE and luck < line_of_sight_probability(setup.path_loss, distance)
        )
        if setup.path_loss == UMI:
            loss = umi_loss_db(distance, setup.carrier_mhz, link.station_height, link.device_height, seen)
        else:
            loss = uma_loss_db(distance, setup.carrier_mhz, link.station_height, link.device_height, seen)
    return math.exp((link.tx_dbw - loss) * _NEPER_PER_DB) / setup.noise_w


def okumura_hata_constants(
    carrier_mhz: float, station_height_m: float, device_height_m: float, tx_dbw: float, noise_w: float
) -> tuple[float, float]:
    """Intercept and slope of ln SNR over ln(squared metres): Okumura-Hata with all that is fixed put together."""
    slope_db = okumura_hata_slope(station_height_m)
    at_1m = okumura_hata_at_1km(carrier_mhz, station_height_m, device_height_m) - 3.0 * slope_db
    return (tx_dbw - at_1m) * _NEPER_PER_DB - math.log(noise_w), slope_db * _PER_LN10 * _NEPER_PER_DB / 2.0


@njit
def efficiency(snr: Any) -> Any:
    """Spectral efficiency in bit/s/Hz (Shannon 1948)."""
    return math.log(1.0 + snr) * PER_LN2
