"""Services into packet rules: a pure model and two backends."""
