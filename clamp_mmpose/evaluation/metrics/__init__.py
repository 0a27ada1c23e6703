from .species_coco_metric import SpeciesCocoMetric

__all__ = ['SpeciesCocoMetric']
