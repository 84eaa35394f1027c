"""What extends the API: custom resource definitions."""
