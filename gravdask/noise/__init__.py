"""How loud a station is: daily spectra, noise magnitudes, quiet days, noise models."""

from __future__ import annotations

from gravdask.errors import NoiseError
from gravdask.noise.bands import Bands, band_means, octave_bands
from gravdask.noise.checks import require_acceleration
from gravdask.noise.compatibility import gou_min, gou_sec
from gravdask.noise.day import DayNoise, day_noise, select_days
from gravdask.noise.magnitude import TidalNoise, noise_magnitude, tidal_noise_magnitude
from gravdask.noise.models import nhnm, nlnm
from gravdask.noise.spectrum import daily_psd, remove_polynomial
from gravdask.noise.trend import Trend, magnitude_trend

__all__ = [
    "Bands",
    "DayNoise",
    "NoiseError",
    "TidalNoise",
    "Trend",
    "band_means",
    "daily_psd",
    "day_noise",
    "gou_min",
    "gou_sec",
    "magnitude_trend",
    "nhnm",
    "nlnm",
    "noise_magnitude",
    "octave_bands",
    "remove_polynomial",
    "require_acceleration",
    "select_days",
    "tidal_noise_magnitude",
]
