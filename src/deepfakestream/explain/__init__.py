"""Why a face got its score: maps of the evidence, the noise residual, and tests of the maps themselves."""
