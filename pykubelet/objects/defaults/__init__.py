"""What the API fills in where an object says nothing: upstream's defaults, by kind."""
