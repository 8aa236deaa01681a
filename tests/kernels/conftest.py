"""What these tests share with those of the other kernel."""

from tests.functional.conftest import arm, ram_disk

__all__ = ["arm", "ram_disk"]
