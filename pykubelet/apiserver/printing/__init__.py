"""The columns that `kubectl get` shows, made by the server, as the API's Table."""
