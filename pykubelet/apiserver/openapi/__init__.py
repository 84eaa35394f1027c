"""OpenAPI: what each type and path of the API looks like, for explain, apply and generators."""
