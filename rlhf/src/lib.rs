//! rlhf: the losses and the loops.
