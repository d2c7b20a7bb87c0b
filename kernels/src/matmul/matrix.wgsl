enable f16;
enable wgpu_cooperative_matrix;
// Rung 7 multiplies with the matrix units: a subgroup makes 2 x 2 matrices of SIDE x SIDE, four subgroups a tile
// of 4 SIDE x 4 SIDE. Costs: operands are rounded to half precision (as rung 5), and subgroups must have
// LANES invocations, as the check of rungs finds out.
