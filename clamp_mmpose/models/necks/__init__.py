from .prompt_learner_neck import PromptLearnerNeck

__all__ = ['PromptLearnerNeck']
