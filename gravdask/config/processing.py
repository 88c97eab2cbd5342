"""The sections of what is computed: residual gravity, noise, coefficients, model, interpretation."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from gravdask.config.section import Section

_RATE = re.compile(r"^(?:([1-9]\d*)Hz|(?:([1-9]\d*)per)?([1-9]\d*)s)$")


class PreprocessConfig(Section):
    """From the source's numbers to residual gravity."""

    tide: bool = Field(True, description="subtract the theoretical tide where coordinates are known")
    tidal_factor: float = Field(1.16, description="amplitude factor on the rigid-Earth tide", ge=0.5, le=2.0)
    tide_model: Literal["builtin", "pygtide"] = Field(
        "builtin", description="theoretical tide: built in, good to 1 µGal, or of ETERNA by the package pygtide"
    )
    drift: bool = Field(True, description="subtract the straight drift that the calibrate stage found")
    pressure: bool = Field(True, description="subtract the effect of air pressure where a station records it")
    admittance: float | Literal["regressed"] = Field(
        -3.0, description="pressure admittance [nm/s2 per hPa], or 'regressed': what the calibrate stage finds"
    )
    masks: bool = Field(True, description="leave out what the operator's log marks as disturbed")
    spikes: bool = Field(True, description="leave isolated wild samples of gravimeters out of the features")
    steps: bool = Field(True, description="subtract the steps that the operator's log names from gravimeters")
    response: bool = Field(
        True, description="take the response of seismometers out, to acceleration, where the metadata have it"
    )
    band: tuple[float, float] = Field(
        (0.001, 0.0),
        description="lowest and highest frequency [Hz] kept where a response is taken out; highest 0: 0.4 x the rate",
    )
    feature_rate: str = Field(
        "",
        description="rate to which faster records are decimated for features, e.g. '20s'; '': above 2 Hz to 1 Hz",
    )
    clipping: bool = Field(True, description="flag frames in which a sensor or digitizer was possibly at its limit")

    @field_validator("band")
    @classmethod
    def _band_is_a_band(cls, value: tuple[float, float]) -> tuple[float, float]:
        """Refuse a band without a lower edge, or of which nothing is left."""
        if value[0] <= 0 or value[1] < 0 or 0 < value[1] <= value[0]:
            msg = "expected [lowest, highest] in Hz with 0 < lowest < highest, or highest 0 for 0.4 x the rate"
            raise ValueError(msg)
        return value

    @field_validator("feature_rate")
    @classmethod
    def _rate_is_a_rate(cls, value: str) -> str:
        """Refuse what is no sampling rate, or none of which a day holds a whole number of samples."""
        if value:
            match = _RATE.match(value)
            samples, seconds = (int(match[1] or match[2] or 1), int(match[3] or 1)) if match else (0, 1)
            if not samples or 86_400 * samples % seconds:
                msg = "expected '1Hz', '20s' or '2per3s', with a whole number of samples a day, or ''"
                raise ValueError(msg)
        return value


class NoiseConfig(Section):
    """Daily spectra and noise magnitudes."""

    min_valid: float = Field(0.9, description="least share of valid samples in a day with a magnitude", gt=0, le=1)
    degree: int = Field(9, description="degree of the polynomial removed from each day", ge=0, le=20)
    sided: Literal["one", "two"] = Field("one", description="one- or two-sided spectra (0.301 in SNM)")


class ScatteringConfig(Section):
    """The scattering transform."""

    frame_samples: int = Field(
        0, description="samples T of a frame, a power of two; 0: 4096 at 1 Hz, 256 at one a minute", ge=0, le=2**20
    )
    octaves: int = Field(0, description="octaves J of wavelets; 0: log2(T) - 4", ge=0, le=20)
    wavelets_per_octave: int = Field(8, description="first-order wavelets an octave, Q", ge=1, le=32)
    pooling: Literal["mean", "median", "max", "lowpass"] = Field("mean", description="pooling of a frame")
    min_valid: float = Field(0.9, description="least share of valid samples in a frame with coefficients", gt=0, le=1)

    @field_validator("frame_samples")
    @classmethod
    def _frame_is_power_of_two(cls, value: int) -> int:
        """Refuse frames that would not tile the shards."""
        if value and (value < 32 or value & (value - 1)):
            msg = "expected 0 or a power of two from 32 on"
            raise ValueError(msg)
        return value


class FitConfig(Section):
    """Features and the mixture model."""

    n_components: int = Field(0, description="components of the mixture; 0: chosen from the data", ge=0, le=64)
    max_components: int = Field(12, description="largest number of components tried where it is chosen", ge=2, le=64)
    covariance_types: tuple[Literal["full", "tied", "diag", "spherical"], ...] = Field(
        ("full",), description="covariances of the components; of several, one is chosen from the data", min_length=1
    )
    holdout_folds: int = Field(4, description="parts in which time is held out to choose", ge=2, le=20)
    select_rows: int = Field(200_000, description="frames that the choice is made on, at most", ge=1000, le=10_000_000)
    n_features: int = Field(0, description="principal components kept; 0: 10, fewer for short records", ge=0, le=64)
    axes: Literal["pca", "exact-pca", "ica"] = Field(
        "pca", description="features: principal components of a sample or of all frames, or independent components"
    )
    whiten: bool = Field(False, description="divide principal components by their standard deviation")
    start: Literal["kmeans", "dask-kmeans"] = Field(
        "kmeans", description="where the mixture starts: k-means of scikit-learn or dask-ml, on a sample"
    )
    blocks: Literal["both", "loudness", "shape"] = Field(
        "both", description="log S1 (loudness), log S2/S1 (shape) or both"
    )
    channels: Literal["vertical", "all"] = Field(
        "vertical", description="one channel a station (vertical, lowest location code) or all"
    )
    min_days: float = Field(7.0, description="least days of valid frames of a channel that enters the fit", gt=0)
    sample_megabytes: int = Field(200, description="largest sample on which the PCA is fitted", ge=1, le=10_000)
    starts: int = Field(3, description="starts of the mixture, of which the best is kept", ge=1, le=50)
    seed: int = Field(0, description="seed of all random choices", ge=0)
    refit: Literal["never", "always"] = Field(
        "never",
        description="'never' goes on with the model and the estimates of drift, tide and air that there are; "
        "'always' makes them anew",
    )


class InterpretConfig(Section):
    """Earthquakes and what a component may be called."""

    catalog: str = Field("", description="earthquake catalogue: USGS CSV, ISC-GEM CSV, NDK or QuakeML; '' for none")
    min_magnitude: float = Field(5.5, description="least magnitude of the events used", ge=0, le=10)
    visibility_ratio: float = Field(
        3.0,
        description="an event counts where its predicted 20 s acceleration is this many times the station's rms",
        ge=0,
    )
    q_limit: float = Field(0.01, description="largest q-value of a co-seismic component", gt=0, lt=1)
    odds_limit: float = Field(5.0, description="least odds ratio of a co-seismic component", gt=1)
    min_events: int = Field(3, description="least distinct events of a co-seismic component", ge=1)
