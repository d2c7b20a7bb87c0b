//! autograd: remembers the way back.
