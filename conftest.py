"""Registers the plugin where the package is on the path but not installed; an installed one registers itself."""

from importlib.metadata import entry_points

if not any(entry.value == "harness.plugin" for entry in entry_points(group="pytest11")):
    pytest_plugins = ["harness.plugin"]
