"""Strong gravitational lenses: galaxies that bend the light of others behind them, as a survey's images show them."""
