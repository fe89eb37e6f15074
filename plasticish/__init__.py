"""Classifiers that keep learning from a stream without forgetting, over frozen pretrained features.

Start with `PlasticClassifier` (scikit-learn), `PlasticBrain` or `TriarchicBrain`; `python -m plasticish` lists the
commands.
"""
__version__ = "0.4.0"

from importlib import import_module
from typing import TYPE_CHECKING

_homes = {
    "eyes": ["PretrainedEyes", "create_cifar10_loaders", "cache_features"],
    "memory": ["EpisodicMemoryBank", "BankConfig"],
    "brain": ["NeuromodulatedBlock", "PlasticBrain", "TriarchicBrain", "VoteConfig", "ReadoutConfig", "TriarchicConfig"],
    "estimator": ["PlasticClassifier"],
    "deploy": ["export"],
    "dashboard": ["Dashboard"],
    "training": ["PhaseConfig", "TrainingHistory", "PlasticTrainer", "TriarchicTrainer"],
    "storms": ["invert_colors", "invert_tensor", "add_noise", "blur_image"],
    "visualization": ["PlasticVisualizer", "TriarchicVisualizer", "denormalize_imagenet"],
}
_home = {name: module for module, names in _homes.items() for name in names}
__all__ = list(_home)

if TYPE_CHECKING:
    from .brain import NeuromodulatedBlock, PlasticBrain, ReadoutConfig, TriarchicBrain, TriarchicConfig, VoteConfig
    from .dashboard import Dashboard
    from .deploy import export
    from .estimator import PlasticClassifier
    from .eyes import PretrainedEyes, cache_features, create_cifar10_loaders
    from .memory import BankConfig, EpisodicMemoryBank
    from .storms import add_noise, blur_image, invert_colors, invert_tensor
    from .training import PhaseConfig, PlasticTrainer, TrainingHistory, TriarchicTrainer
    from .visualization import PlasticVisualizer, TriarchicVisualizer, denormalize_imagenet


def __getattr__(name):
    "Import a public name from its module when it is first asked for, so that `import plasticish` costs nothing"
    if name not in _home: raise AttributeError(f"module 'plasticish' has no attribute {name!r}")
    value = getattr(import_module(f".{_home[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__(): return sorted([*globals(), *__all__])
