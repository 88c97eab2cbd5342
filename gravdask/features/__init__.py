"""From scattering coefficients to the rows that the mixture sees."""
