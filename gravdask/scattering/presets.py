"""Networks by name: the program's defaults, and those of the published lineages with what differs from them.

======================  ================================================================================================
``gravity-1s``          Records of one sample a second: J=8, Q=(8, 1), mean over frames of T=4096 samples. The default.
``gravity-1min``        Records of one sample a minute: J=4, Q=(8, 1), mean over frames of T=256 samples.
``kymatio``             Andén & Mallat (2014) as in kymatio: J=8, Q=(8, 1), low-pass of scale T=2^J, stride T. No
                        difference: `ScatteringNetwork.transform` gives kymatio's values.
``seydoux2020``         Seydoux et al. (2020), Nat. Commun. 11, 3972: three layers of 4, 6 and 8 octaves with 8, 2 and 1
                        wavelets an octave, mean over 1024 samples. Differs: Morlet wavelets that are fixed, theirs are
                        learned; kymatio's rule j3 > j2 > j1 instead of all combinations. Their parent normalisation
                        belongs to the features, not to the network.
``steinmann2022``       Steinmann et al. (2022), scatseisnet's tutorial: two layers of 6 octaves with 4 and 1 wavelets
                        an octave, median over 40 s at 50 Hz (2000 samples). Differs: kymatio's Morlet wavelets instead
                        of ones of a quality factor of 2; only combinations with j2 > j1; frames that do not overlap
                        where theirs do by half; halos instead of windows that are circular; moduli decimated as far
                        as their band allows before the median (``oversampling`` keeps more).
======================  ================================================================================================
"""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "gravity-1s": {"sampling_rate": 1.0, "J": 8, "Q": 8, "T": 4096, "pooling": "mean"},
    "gravity-1min": {"sampling_rate": 1.0 / 60.0, "J": 4, "Q": 8, "T": 256, "pooling": "mean"},
    "kymatio": {"sampling_rate": 1.0, "J": 8, "Q": 8, "T": None, "pooling": "lowpass"},
    "seydoux2020": {
        "sampling_rate": 20.0,
        "J": (4, 6, 8),
        "Q": (8, 2, 1),
        "T": 1024,
        "max_order": 3,
        "pooling": "mean",
    },
    "steinmann2022": {"sampling_rate": 50.0, "J": 6, "Q": (4, 1), "T": 2000, "pooling": "median"},
}
"""Parameters of `ScatteringNetwork` by name."""
