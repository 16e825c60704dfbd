"""The dataset: tables that all stages share, and one package for each stage that makes or reads them."""
