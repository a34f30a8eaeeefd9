"""Systems judged as summarizers: the measure (`f1`), and `evaluate --summary` (`judge`)."""
