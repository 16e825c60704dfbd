"""What an HTTP service needs and BentoML lacks: admission, typed problems, a model that reloads."""
