# AP-10K's 54 species, in the order of their category ids
species_names = [
    'antelope', 'argali sheep', 'bison', 'buffalo', 'cow', 'sheep', 'arctic fox', 'dog', 'fox', 'wolf', 'beaver',
    'alouatta', 'monkey', 'noisy night monkey', 'spider monkey', 'uakari', 'deer', 'moose', 'hamster', 'elephant',
    'horse', 'zebra', 'bobcat', 'cat', 'cheetah', 'jaguar', 'king cheetah', 'leopard', 'lion', 'panther',
    'snow leopard', 'tiger', 'giraffe', 'hippo', 'chimpanzee', 'gorilla', 'orangutan', 'rabbit', 'skunk', 'mouse',
    'rat', 'otter', 'weasel', 'raccoon', 'rhino', 'marmot', 'squirrel', 'pig', 'mole', 'black bear', 'brown bear',
    'panda', 'polar bear', 'bat'
]
