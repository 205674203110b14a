"""The package `ultralytics`, imported so that it keeps to itself."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from harness.folders import data_folder


def import_ultralytics() -> ModuleType:
    """The package, which sends no usage events, looks for no update and installs nothing on its own.

    It keeps settings in a folder of its own, by default in the user's home; here that is weighin's cache. A process
    that imported it before keeps its settings.
    """
    folder = data_folder() / "ultralytics"
    if "YOLO_CONFIG_DIR" not in os.environ:
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["YOLO_CONFIG_DIR"] = str(folder)
    # Offline it neither sends nor fetches anything.
    for name, value in (("YOLO_OFFLINE", "true"), ("YOLO_AUTOINSTALL", "false"), ("YOLO_VERBOSE", "false")):
        os.environ.setdefault(name, value)
    return importlib.import_module("ultralytics")
