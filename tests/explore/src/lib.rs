//! Every interleaving of the fault protocol: the storage code that boots, under a scheduler that owns every step.
