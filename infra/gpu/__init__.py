"""What a GPU gives: `python -m infra.gpu`."""
