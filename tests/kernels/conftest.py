"""What these tests share with those of the other kernel."""

from tests.functional.conftest import arm, engine, ram_disk

__all__ = ["arm", "engine", "ram_disk"]
