"""Rules of the catalogue as a strategy of Flower: ``from robustbench_fl.flower import RobustStrategy``."""

from robustbench_fl.integrations.flower import RobustStrategy

__all__ = ["RobustStrategy"]
