"""Judging trained models: retrieval, generated views, estimated structures; runs side by side."""
