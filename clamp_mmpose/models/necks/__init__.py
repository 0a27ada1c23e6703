from .denseclip_neck import DenseCLIPNeck
from .prompt_learner_neck import PromptLearnerNeck

__all__ = ['DenseCLIPNeck', 'PromptLearnerNeck']
