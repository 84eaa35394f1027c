"""Requests passed on: to kubelets for logs and streams, to pods and services for proxies."""
