//! kernels: arrays in, arrays out.
